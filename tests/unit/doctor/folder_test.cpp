#include "launch/doctor/folder.h"

#include <csignal>
#include <fstream>

#include <gmock/gmock.h>
#include <sys/resource.h>

#include "tests/support/temporary_folder.h"

namespace atelier::doctor {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(RunFolder, is_measured_and_left_empty) {
  const test::TemporaryFolder folder;

  const FolderFacts facts = probe_run_folder(folder.path(), true);

  EXPECT_EQ(facts.fault, "");
  EXPECT_EQ(facts.role, "run");
  EXPECT_NE(facts.kind, "");
  EXPECT_GT(facts.free_bytes, 0U);
  EXPECT_GT(facts.written_bytes, 0U);
  EXPECT_EQ(facts.read_bytes, facts.written_bytes);
  EXPECT_GT(facts.write_seconds, 0);
  EXPECT_GT(facts.read_seconds, 0);
  EXPECT_TRUE(is_empty(folder.path()));
}

TEST(RunFolder, is_not_created_and_the_folder_above_stands_for_it) {
  const test::TemporaryFolder folder;

  const FolderFacts facts = probe_run_folder(folder.path() / "runs" / "gan", false);

  EXPECT_EQ(facts.fault, "");
  EXPECT_EQ(facts.written_bytes, 0U);
  EXPECT_TRUE(is_empty(folder.path()));
}

TEST(RunFolder, a_failing_write_is_told_and_leaves_nothing) {
  const test::TemporaryFolder folder;
  auto* const before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit small{.rlim_cur = 5U << 20U, .rlim_max = limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);

  const FolderFacts facts = probe_run_folder(folder.path(), true);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  static_cast<void>(std::signal(SIGXFSZ, before));

  EXPECT_THAT(facts.fault, AllOf(HasSubstr("cannot write to a file in"),
                                 HasSubstr(folder.path().string()), HasSubstr("File too large")));
  EXPECT_TRUE(is_empty(folder.path()));
}

TEST(RunFolder, where_no_file_can_be_created_says_so) {
  EXPECT_THAT(probe_run_folder("/proc/gan", true).fault,
              HasSubstr("cannot create a file in '/proc'"));

  const test::TemporaryFolder folder;
  std::ofstream(folder.path() / "file") << "x";
  EXPECT_THAT(probe_run_folder(folder.path() / "file", true).fault, HasSubstr("Not a directory"));
}

TEST(DataFolder, its_largest_file_is_read_and_nothing_written) {
  const test::TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() / "shards");
  std::ofstream(folder.path() / "manifest") << "small";
  std::ofstream(folder.path() / "shards" / "0") << std::string((3U << 20U) + 5, 'x');
  const auto written = std::filesystem::last_write_time(folder.path());

  const FolderFacts facts = probe_data_folder(folder.path(), true);

  EXPECT_EQ(facts.fault, "");
  EXPECT_EQ(facts.read_bytes, (3U << 20U) + 5);
  EXPECT_EQ(facts.written_bytes, 0U);
  EXPECT_GT(facts.free_bytes, 0U);
  EXPECT_EQ(std::filesystem::last_write_time(folder.path()), written);
  EXPECT_EQ(probe_data_folder(folder.path(), false).read_bytes, 0U);
}

TEST(DataFolder, that_is_missing_empty_or_a_file_is_a_fault) {
  const test::TemporaryFolder folder;
  std::ofstream(folder.path() / "file") << "x";
  std::filesystem::create_directory(folder.path() / "empty");

  EXPECT_THAT(probe_data_folder(folder.path() / "photos", true).fault,
              AllOf(HasSubstr("cannot find"), HasSubstr("photos'"), HasSubstr("No such file")));
  EXPECT_THAT(probe_data_folder(folder.path() / "empty", true).fault, HasSubstr("nothing in"));
  EXPECT_THAT(probe_data_folder(folder.path() / "file", true).fault, HasSubstr("Not a directory"));
}

}  // namespace
}  // namespace atelier::doctor
