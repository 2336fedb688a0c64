#include "launch/base/mapped_file.h"

#include <csignal>
#include <cstring>
#include <string>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch/base/error.h"
#include "tests/support/temporary_folder.h"

namespace atelier {
namespace {

class MappedFileTest : public testing::Test {
 protected:
  [[nodiscard]] static std::span<const std::byte> bytes(std::string_view content) {
    return std::as_bytes(std::span(content));
  }

  test::TemporaryFolder folder_;
  LocalFileSystem files_;
  Path path_ = folder_.path() / "new folder" / "state";
};

TEST_F(MappedFileTest, holds_its_content_and_what_is_stored_later) {
  const MappedFile file(path_, bytes("before"));
  EXPECT_EQ(files_.read(path_), "before");

  file.bytes()[0] = std::byte{'B'};
  file.sync();

  EXPECT_EQ(files_.read(path_), "Before");
  EXPECT_EQ(files_.list(path_.parent_path()).size(), 1U);
}

TEST_F(MappedFileTest, replaces_another_whose_owner_goes_on_undisturbed) {
  const MappedFile old(path_, bytes("old"));
  const MappedFile file(path_, bytes("newer"));
  old.bytes()[0] = std::byte{'O'};

  EXPECT_EQ(files_.read(path_), "newer");
}

TEST_F(MappedFileTest, outlives_a_process_that_is_killed) {
  const pid_t child = ::fork();
  if (child == 0) {
    const MappedFile file(path_, bytes("before"));
    std::memcpy(file.bytes().data(), "after!", 6);
    static_cast<void>(::raise(SIGKILL));
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);

  EXPECT_EQ(files_.read(path_), "after!");
}

TEST_F(MappedFileTest, what_has_no_room_is_an_error_and_leaves_the_old_file) {
  const MappedFile old(path_, bytes("old"));
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit small{.rlim_cur = 4096, .rlim_max = 4096};
    static_cast<void>(::signal(SIGXFSZ, SIG_IGN));
    static_cast<void>(::setrlimit(RLIMIT_FSIZE, &small));
    try {
      const MappedFile file(path_, bytes(std::string(8192, 'x')));
    } catch (const IoError& error) {
      ::_exit(std::string(error.what()).find("Cannot allocate") != std::string::npos ? 0 : 2);
    }
    ::_exit(1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);

  EXPECT_EQ(status, 0);
  EXPECT_EQ(files_.read(path_), "old");
  EXPECT_EQ(files_.list(path_.parent_path()).size(), 1U);
}

TEST_F(MappedFileTest, a_folder_that_is_none_is_an_error) {
  const MappedFile file(path_, bytes("a file"));

  EXPECT_THROW(MappedFile(path_ / "below", bytes("x")), IoError);
}

}  // namespace
}  // namespace atelier
