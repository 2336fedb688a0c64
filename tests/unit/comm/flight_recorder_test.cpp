#include "launch/comm/flight_recorder.h"

#include <chrono>
#include <csignal>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch/base/error.h"
#include "tests/support/temporary_folder.h"

namespace atelier::comm {
namespace {

using testing::HasSubstr;

CallRecord call(std::uint64_t sequence, std::string_view label = "gradients of G") {
  CallRecord record{.sequence = sequence, .count = 1000, .kind = CallKind::kAllReduce};
  record.set_label(label);
  return record;
}

class FlightRecorderTest : public testing::Test {
 protected:
  [[nodiscard]] Path path(int rank = 0) const {
    return folder_.path() / "recorder" / ("rank-" + std::to_string(rank));
  }
  test::TemporaryFolder folder_;
  LocalFileSystem files_;
};

TEST_F(FlightRecorderTest, keeps_what_came_before_the_file_and_after) {
  FlightRecorder recorder(1, 4);
  recorder.enter(call(1));
  recorder.leave();
  recorder.open_file(path());
  recorder.enter(call(2, "scalars"));
  recorder.set_phase("data_wait");

  const RankTrace trace = read_trace(files_, path());

  EXPECT_EQ(trace.rank, 1);
  EXPECT_EQ(trace.world, 4);
  EXPECT_EQ(trace.process, getpid());
  EXPECT_EQ(trace.phase, "data_wait");
  ASSERT_EQ(trace.calls.size(), 2U);
  EXPECT_TRUE(same_call(trace.calls[0].call, call(1)));
  EXPECT_GE(trace.calls[0].left, trace.calls[0].entered);
  EXPECT_STREQ(trace.calls[1].call.label.data(), "scalars");
  EXPECT_EQ(trace.calls[1].left, 0);
}

TEST_F(FlightRecorderTest, keeps_the_last_calls_in_order) {
  FlightRecorder recorder(0, 1);
  recorder.open_file(path());
  constexpr std::uint64_t kEntered = FlightRecorder::kCalls * 2 + 17;
  for (std::uint64_t i = 1; i <= kEntered; ++i) {
    recorder.enter(call(i));
    recorder.leave();
  }

  const RankTrace trace = read_trace(files_, path());

  ASSERT_EQ(trace.calls.size(), FlightRecorder::kCalls);
  for (std::size_t i = 0; i < trace.calls.size(); ++i) {
    EXPECT_EQ(trace.calls[i].call.sequence, kEntered - FlightRecorder::kCalls + 1 + i);
  }
}

TEST_F(FlightRecorderTest, keeps_the_oldest_call_that_has_not_ended) {
  FlightRecorder recorder(0, 2);
  recorder.open_file(path());
  recorder.enter(call(1));
  recorder.leave();
  recorder.enter(call(2, "stuck on a device"));
  constexpr std::uint64_t kLast = FlightRecorder::kCalls * 2 + 17;
  for (std::uint64_t i = 3; i <= kLast; ++i) {
    recorder.enter(call(i));
    if (i % 2 == 0) recorder.leave(i);
  }

  const RankTrace stuck = read_trace(files_, path());
  recorder.leave(2);
  const RankTrace ended = read_trace(files_, path());

  ASSERT_EQ(stuck.calls.size(), FlightRecorder::kCalls + 1);
  EXPECT_EQ(stuck.calls.front().call.sequence, 2U);
  EXPECT_EQ(stuck.calls.front().left, 0);
  EXPECT_EQ(stuck.calls.back().call.sequence, kLast);
  ASSERT_EQ(ended.calls.size(), FlightRecorder::kCalls);
  EXPECT_EQ(ended.calls.front().call.sequence, kLast - FlightRecorder::kCalls + 1);
}

TEST_F(FlightRecorderTest, outlives_a_process_that_is_killed) {
  const pid_t child = fork();
  if (child == 0) {
    FlightRecorder recorder(0, 2);
    recorder.open_file(path());
    recorder.enter(call(812));
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));

  const RankTrace trace = read_trace(files_, path());

  ASSERT_EQ(trace.calls.size(), 1U);
  EXPECT_EQ(trace.calls[0].call.sequence, 812U);
  EXPECT_EQ(trace.calls[0].left, 0);
}

TEST_F(FlightRecorderTest, a_place_that_cannot_be_written_leaves_it_in_memory) {
  std::ofstream(folder_.path() / "recorder") << "a file where the folder should be";
  FlightRecorder recorder(0, 1);

  EXPECT_THROW(recorder.open_file(path()), IoError);
  recorder.enter(call(1));
  recorder.open_file(folder_.path() / "elsewhere");

  EXPECT_EQ(read_trace(files_, folder_.path() / "elsewhere").calls.size(), 1U);
}

TEST_F(FlightRecorderTest, another_file_is_refused) {
  std::ofstream(folder_.path() / "notes") << "not a recorder's";

  EXPECT_THROW(static_cast<void>(read_trace(files_, folder_.path() / "notes")), DataError);
}

TEST_F(FlightRecorderTest, costs_below_a_microsecond_a_call) {
  FlightRecorder recorder(0, 1);
  recorder.open_file(path());
  constexpr int kTimes = 20'000;
  const CallRecord one = call(1);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kTimes; ++i) {
    recorder.enter(one);
    recorder.leave();
  }
  const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;

  RecordProperty("nanoseconds", std::to_string(spent.count() / kTimes));
  EXPECT_LT(spent.count() / kTimes, 20'000);  // a bound that a busy machine and sanitizers keep
}

RankTrace trace_of(int rank, std::uint64_t sequence, double entered, double left,
                   const std::string& phase) {
  return {.rank = rank,
          .world = 3,
          .process = 1,
          .phase = phase,
          .phase_since = 100,
          .calls = {{.call = call(sequence), .entered = entered, .left = left}}};
}

TEST(Explain, names_who_is_waited_for_and_in_which_call) {
  const std::vector<RankTrace> traces{trace_of(0, 812, 101, 0, "allreduce_wait"),
                                      trace_of(1, 811, 99, 99.5, "data_wait"),
                                      trace_of(2, 812, 101, 0, "allreduce_wait")};

  const std::string said = explain(traces, 111);

  EXPECT_THAT(said, HasSubstr("rank 0: in all_reduce(sum, float32 x 1000, \"gradients of G\"), "
                              "call 812, since 10.0 s, at allreduce_wait since 11.0 s\n"));
  EXPECT_THAT(said, HasSubstr("rank 1: left all_reduce(sum, float32 x 1000, \"gradients of G\"), "
                              "call 811, 11.5 s ago, at data_wait since 11.0 s\n"));
  EXPECT_THAT(said, HasSubstr("Waited for: rank 1, in all_reduce(sum, float32 x 1000, "
                              "\"gradients of G\"), call 812.\n"));
}

TEST(Explain, a_call_that_a_device_has_not_ended_counts_before_those_that_followed) {
  RankTrace waits = trace_of(0, 5, 101, 0, "forward");
  waits.calls.push_back({.call = call(6, "scalars"), .entered = 102, .left = 103});
  waits.calls.push_back({.call = call(7), .entered = 104, .left = 0});

  const std::string said = explain(
      std::vector{waits, trace_of(1, 4, 99, 100, "data_wait"), trace_of(2, 5, 101, 0, "x")}, 111);

  EXPECT_THAT(said, HasSubstr("rank 0: in all_reduce(sum, float32 x 1000, \"gradients of G\"), "
                              "call 5, since 10.0 s"));
  EXPECT_THAT(said, HasSubstr("Waited for: rank 1, in "));
  EXPECT_THAT(said, HasSubstr("call 5.\n"));
}

TEST(Explain, a_rank_without_a_file_is_waited_for_too) {
  const std::vector<RankTrace> traces{trace_of(0, 5, 101, 0, "allreduce_wait"),
                                      trace_of(2, 5, 101, 0, "allreduce_wait")};

  EXPECT_THAT(explain(traces, 111), HasSubstr("Waited for: rank 1, in "));
}

TEST(Explain, says_when_nobody_waits) {
  EXPECT_THAT(explain(std::vector{trace_of(0, 5, 101, 102, "forward")}, 111),
              HasSubstr("No rank is inside a call."));
  EXPECT_THAT(explain(std::vector{trace_of(0, 5, 101, 0, "a"), trace_of(1, 5, 101, 0, "a"),
                                  trace_of(2, 5, 101, 0, "a")},
                      111),
              HasSubstr("All ranks have entered "));
}

}  // namespace
}  // namespace atelier::comm
