#include "launch/base/file_system.h"

#include <array>
#include <fstream>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/temporary_folder.h"

namespace atelier {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const IoError& error) {
    return error.what();
  }
  return "no error";
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

class LocalFileSystemTest : public ::testing::Test {
 protected:
  Path at(const std::string& name) const { return folder_.path() / name; }
  void put(const std::string& name, std::string_view content) {
    std::ofstream(at(name), std::ios::binary) << content;
  }
  test::TemporaryFolder folder_;
  LocalFileSystem files_;
};

TEST_F(LocalFileSystemTest, appended_bytes_are_read_back) {
  const auto file = files_.create(at("a"));
  file->append(bytes_of("hello "));
  file->append(bytes_of(""));
  file->append(bytes_of("world"));
  file->sync();
  file->close();

  EXPECT_EQ(files_.read(at("a")), "hello world");
  EXPECT_EQ(files_.size(at("a")), 11U);
  std::array<std::byte, 5> part{};
  files_.read_at(at("a"), 6, part);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(part.data()), part.size()), "world");
}

TEST_F(LocalFileSystemTest, create_refuses_existing_file) {
  put("a", "old");

  EXPECT_THAT(error_of([&] { (void)files_.create(at("a")); }), HasSubstr("File exists"));
  EXPECT_EQ(files_.read(at("a")), "old");
}

TEST_F(LocalFileSystemTest, reading_beyond_the_end_names_both_sizes) {
  put("a", "0123456789");
  std::array<std::byte, 8> part{};

  const std::string error = error_of([&] { files_.read_at(at("a"), 5, part); });

  EXPECT_THAT(error, HasSubstr("at or before byte 10"));
  EXPECT_THAT(error, HasSubstr("13 bytes"));
}

TEST_F(LocalFileSystemTest, reading_a_missing_file_or_a_folder_says_why) {
  EXPECT_THAT(error_of([&] { (void)files_.read(at("none")); }), HasSubstr("No such file"));
  EXPECT_THAT(error_of([&] { (void)files_.read(folder_.path()); }), HasSubstr("directory"));
  EXPECT_THAT(error_of([&] { (void)files_.read("/dev/null"); }), HasSubstr("no regular file"));
}

TEST_F(LocalFileSystemTest, use_after_close_is_an_error) {
  const auto file = files_.create(at("a"));
  file->close();

  EXPECT_THROW(file->append(bytes_of("x")), IoError);
  EXPECT_THROW(file->close(), IoError);
}

TEST_F(LocalFileSystemTest, exists_sees_files_folders_and_dangling_links) {
  put("file", "");
  std::filesystem::create_symlink(at("nowhere"), at("link"));

  EXPECT_TRUE(files_.exists(at("file")));
  EXPECT_TRUE(files_.exists(folder_.path()));
  EXPECT_TRUE(files_.exists(at("link")));
  EXPECT_FALSE(files_.exists(at("none")));
  EXPECT_FALSE(files_.exists(at("file") / "below"));
}

TEST_F(LocalFileSystemTest, list_is_sorted_names) {
  put("b", "");
  put("a", "");
  files_.create_directories(at("c") / "d");

  EXPECT_THAT(files_.list(folder_.path()), ElementsAre("a", "b", "c"));
  EXPECT_THROW((void)files_.list(at("none")), IoError);
}

TEST_F(LocalFileSystemTest, rename_replaces_and_rename_new_refuses) {
  put("a", "1");
  put("b", "2");

  EXPECT_THAT(error_of([&] { files_.rename_new(at("a"), at("b")); }), HasSubstr("File exists"));
  EXPECT_EQ(files_.read(at("b")), "2");
  files_.rename(at("a"), at("b"));
  EXPECT_EQ(files_.read(at("b")), "1");
  files_.rename_new(at("b"), at("c"));
  EXPECT_EQ(files_.read(at("c")), "1");
  EXPECT_FALSE(files_.exists(at("b")));
}

TEST_F(LocalFileSystemTest, rename_new_of_a_folder_refuses_even_an_empty_target) {
  files_.create_directories(at("from"));
  files_.create_directories(at("to"));

  EXPECT_THROW(files_.rename_new(at("from"), at("to")), IoError);
  EXPECT_TRUE(files_.exists(at("from")));
}

TEST_F(LocalFileSystemTest, remove_all_of_nothing_is_fine) {
  files_.create_directories(at("a") / "b");
  put("a/b/c", "x");

  files_.remove_all(at("a"));
  files_.remove_all(at("a"));

  EXPECT_FALSE(files_.exists(at("a")));
}

TEST_F(LocalFileSystemTest, create_directories_over_a_file_is_an_error) {
  put("a", "x");

  EXPECT_THROW(files_.create_directories(at("a") / "b"), IoError);
  EXPECT_THROW(files_.create_directories(at("a")), IoError);
}

TEST_F(LocalFileSystemTest, sync_and_free_bytes_work_on_folders) {
  files_.sync(folder_.path());
  EXPECT_GT(files_.free_bytes(folder_.path()), 0U);
  EXPECT_THROW(files_.sync(at("none")), IoError);
  EXPECT_THROW((void)files_.free_bytes(at("none")), IoError);
}

// ---- write_atomically under every single failure

class WriteAtomically : public LocalFileSystemTest, public ::testing::WithParamInterface<bool> {
 protected:
  static constexpr std::string_view kOld = "old content";
  static constexpr std::string_view kNew = "new content, longer than the old";
  test::FaultyFileSystem faulty_{files_};

  /// Writes with the n-th call failing; returns the error, or "no error".
  std::string write_failing_at(std::size_t nth, test::Fault fault) {
    faulty_.reset();
    faulty_.fail_at(nth, fault);
    return error_of([&] { write_atomically(faulty_, at("target"), kNew); });
  }
  std::size_t count_calls() {
    write_atomically(faulty_, at("target"), kNew);
    const std::size_t calls = faulty_.calls();
    files_.remove_all(at("target"));
    return calls;
  }
};

TEST_P(WriteAtomically, target_holds_old_or_new_content_whatever_call_fails) {
  const std::size_t total = count_calls();
  ASSERT_GE(total, 6U);
  for (std::size_t n = 1; n <= total; ++n) {
    put("target", kOld);

    const std::string error = write_failing_at(n, {.error = EIO, .torn = GetParam()});

    EXPECT_THAT(error, HasSubstr("Input/output error")) << "call " << n;
    EXPECT_THAT(files_.read(at("target")), ::testing::AnyOf(kOld, kNew)) << "call " << n;
    EXPECT_THAT(files_.list(folder_.path()), ElementsAre("target")) << "call " << n;
  }
}

TEST_P(WriteAtomically, target_survives_a_crash_and_a_loss_of_power_at_any_call) {
  const std::size_t total = count_calls();
  for (std::size_t n = 1; n <= total; ++n) {
    put("target", kOld);

    const std::string error = write_failing_at(n, {.torn = GetParam(), .crash = true});
    faulty_.lose_unsynced_bytes();

    EXPECT_NE(error, "no error") << "call " << n;
    EXPECT_THAT(files_.read(at("target")), ::testing::AnyOf(kOld, kNew)) << "call " << n;
    // The next writer gets through whatever the crash left behind.
    write_atomically(files_, at("target"), kNew);
    EXPECT_THAT(files_.list(folder_.path()), ElementsAre("target")) << "call " << n;
  }
}

TEST_P(WriteAtomically, without_a_previous_file_the_target_is_absent_or_whole) {
  const std::size_t total = count_calls();
  for (std::size_t n = 1; n <= total; ++n) {
    files_.remove_all(at("target"));

    (void)write_failing_at(n, {.torn = GetParam()});

    if (files_.exists(at("target"))) {
      EXPECT_EQ(files_.read(at("target")), kNew);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(CleanAndTorn, WriteAtomically, ::testing::Bool());

TEST_F(LocalFileSystemTest, write_atomically_syncs_before_it_renames) {
  test::FaultyFileSystem watched(files_);

  write_atomically(watched, at("target"), "x");

  std::vector<std::string> verbs;
  for (const std::string& line : watched.history()) verbs.push_back(line.substr(0, line.find(' ')));
  EXPECT_THAT(
      verbs, ElementsAre("remove_all", "create", "append", "sync-file", "close", "rename", "sync"));
}

TEST_F(LocalFileSystemTest, write_atomically_into_a_missing_folder_is_an_error) {
  EXPECT_THROW(write_atomically(files_, at("none") / "a", "x"), IoError);
}

// ---- the tool itself

TEST_F(LocalFileSystemTest, faulty_file_system_tears_counts_and_crashes) {
  test::FaultyFileSystem faulty(files_);
  const auto file = faulty.create(at("a"));
  faulty.fail_at(2, {.torn = true, .crash = true});
  file->append(bytes_of("1234"));

  EXPECT_THROW(file->append(bytes_of("5678")), IoError);
  EXPECT_THROW((void)faulty.exists(at("a")), IoError);
  EXPECT_EQ(faulty.calls(), 4U);
  EXPECT_EQ(files_.read(at("a")), "123456");
  faulty.lose_unsynced_bytes();
  EXPECT_EQ(files_.read(at("a")), "");
  faulty.reset();
  EXPECT_TRUE(faulty.exists(at("a")));
}

TEST_F(LocalFileSystemTest, faulty_file_system_follows_renamed_folders) {
  test::FaultyFileSystem faulty(files_);
  faulty.create_directories(at("stage"));
  const auto synced = faulty.create(at("stage") / "synced");
  synced->append(bytes_of("12"));
  synced->sync();
  const auto unsynced = faulty.create(at("stage") / "unsynced");
  unsynced->append(bytes_of("34"));

  faulty.rename(at("stage"), at("final"));
  faulty.lose_unsynced_bytes();

  EXPECT_EQ(files_.read(at("final") / "synced"), "12");
  EXPECT_EQ(files_.read(at("final") / "unsynced"), "");
}

}  // namespace
}  // namespace atelier
