#include "launch/base/log.h"

#include <fstream>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/base/clock.h"
#include "launch/base/error.h"
#include "launch/base/text.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_folder.h"

namespace atelier {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> lines_of(const Path& path) {
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

class ProcessLogTest : public ::testing::Test {
 protected:
  Path file() const { return folder_.path() / "log.txt"; }
  /// What reaches standard error while `action` runs.
  template <typename Action>
  std::string terminal_of(Action action) {
    ::testing::internal::CaptureStderr();
    action();
    return ::testing::internal::GetCapturedStderr();
  }
  test::TemporaryFolder folder_;
};

TEST_F(ProcessLogTest, lines_carry_time_level_and_text) {
  const std::string terminal = terminal_of([&] {
    ProcessLog log({.file = file()});
    log.info("epoch 1");
    log.warn("port 9400 is taken: {} %v");
  });

  EXPECT_THAT(terminal, ContainsRegex("^[0-9:]{8} I epoch 1\n"));
  EXPECT_THAT(terminal, HasSubstr("W port 9400 is taken: {} %v\n"));
  const auto lines = lines_of(file());
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_THAT(lines[0],
              ContainsRegex("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+[+-][0-9:]+ info epoch 1$"));
  EXPECT_THAT(lines[1], HasSubstr(" warning port 9400 is taken: {} %v"));
}

TEST_F(ProcessLogTest, rank_is_told_when_there_is_more_than_one) {
  const std::string terminal = terminal_of([&] {
    ProcessLog log({.rank = 3, .world = 4, .file = file()});
    log.info("ready");
    ProcessLog alone({});
    alone.info("alone");
  });

  EXPECT_THAT(terminal, HasSubstr("I [3] ready\n"));
  EXPECT_THAT(terminal, HasSubstr("I alone\n"));
  EXPECT_THAT(lines_of(file()).at(0), HasSubstr(" info [3] ready"));
}

TEST_F(ProcessLogTest, lines_below_the_terminal_level_reach_the_file_alone) {
  const std::string terminal = terminal_of([&] {
    ProcessLog log({.terminal_level = LogLevel::kWarning, .file = file()});
    log.debug("detail");
    log.info("news");
    log.error("trouble");
  });

  EXPECT_THAT(terminal, Not(HasSubstr("news")));
  EXPECT_THAT(terminal, HasSubstr("E trouble"));
  EXPECT_EQ(lines_of(file()).size(), 3U);
}

TEST_F(ProcessLogTest, counts_by_level) {
  (void)terminal_of([&] {
    ProcessLog log({});
    log.warn("a");
    log.warn("b");
    log.debug("c");
    EXPECT_EQ(log.count(LogLevel::kWarning), 2U);
    EXPECT_EQ(log.count(LogLevel::kDebug), 1U);
    EXPECT_EQ(log.count(LogLevel::kError), 0U);
  });
  NullLog none;
  none.error("x");
  EXPECT_EQ(none.count(LogLevel::kError), 1U);
}

TEST_F(ProcessLogTest, the_file_is_appended_to) {
  (void)terminal_of([&] {
    ProcessLog({.file = file()}).info("first run");
    ProcessLog({.file = file()}).info("second run");
  });

  EXPECT_EQ(lines_of(file()).size(), 2U);
}

TEST_F(ProcessLogTest, a_file_that_cannot_be_opened_is_an_error_and_the_log_goes_on) {
  const std::string terminal = terminal_of([&] {
    ProcessLog log({});
    EXPECT_THROW(log.open_file(folder_.path()), IoError);
    log.info("still here");
  });

  EXPECT_THAT(terminal, HasSubstr("still here"));
}

TEST_F(ProcessLogTest, a_full_disk_does_not_stop_the_caller) {
  const std::string terminal = terminal_of([&] {
    ProcessLog log({});
    log.open_file("/dev/full");
    for (int i = 0; i < 3; ++i) log.info("goes on");
  });

  EXPECT_THAT(terminal, HasSubstr("goes on"));
}

TEST_F(ProcessLogTest, a_file_may_be_added_while_others_write) {
  constexpr int kLines = 500;
  (void)terminal_of([&] {
    ProcessLog log({.terminal_level = LogLevel::kError, .file = file()});
    {
      std::jthread writer([&] {
        for (int i = 0; i < kLines; ++i) log.info("from the thread");
      });
      log.open_file(folder_.path() / "second.txt");
      for (int i = 0; i < kLines; ++i) log.info("from the test");
    }
    EXPECT_EQ(log.count(LogLevel::kInfo), 2U * kLines);
  });

  const auto lines = lines_of(file());
  EXPECT_EQ(lines.size(), 2U * kLines);
  for (const std::string& line : lines) {
    EXPECT_THAT(line, ContainsRegex("info from the (thread|test)$"));
  }
}

TEST(Check, failure_names_condition_message_and_line) {
  const int two = 2;
  try {
    ATELIER_CHECK(two == 3, text("two is ", two));
    FAIL();
  } catch (const InternalError& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kInternal);
    EXPECT_THAT(error.what(), HasSubstr("two == 3 (two is 2) at "));
    EXPECT_THAT(error.what(), HasSubstr("log_test.cpp:"));
  }
  ATELIER_CHECK(two == 2, [] {
    ADD_FAILURE() << "the message of a condition that holds was built";
    return std::string();
  }());
}

TEST(Error, message_is_problem_and_next_step) {
  EXPECT_STREQ(DataError("Bad shard.", "Run verify.").what(), "Bad shard. Run verify.");
  EXPECT_STREQ(IoError("Disk full.").what(), "Disk full.");
  EXPECT_EQ(CommError("x").exit_code(), ExitCode::kPeerLost);
}

TEST(Clock, fake_time_moves_only_when_told) {
  test::FakeClock clock(100.0);
  const auto start = clock.now();
  clock.sleep_for(std::chrono::milliseconds(1500));

  EXPECT_EQ(seconds(clock.now() - start), 1.5);
  EXPECT_EQ(clock.unix_seconds(), 101.5);
}

TEST(Clock, system_time_passes) {
  const SystemClock clock;
  const auto start = clock.now();
  clock.sleep_for(std::chrono::milliseconds(2));

  EXPECT_GE(clock.now() - start, std::chrono::milliseconds(2));
  EXPECT_GT(clock.unix_seconds(), 1.7e9);
}

}  // namespace
}  // namespace atelier
