// The whole examination with ranks as threads, and its collective parts.
#include "launch/doctor/examination.h"

#include <gmock/gmock.h>

#include "launch/base/error.h"
#include "launch/comm/self_comm.h"
#include "launch/comm/thread_comm.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/doctor/made_up_job.h"

namespace atelier::doctor {
namespace {

class ShiftedClock final : public Clock {
 public:
  explicit ShiftedClock(double ahead_seconds) : ahead_(ahead_seconds) {}
  [[nodiscard]] Steady::time_point now() const override { return real_.now(); }
  [[nodiscard]] double unix_seconds() const override { return real_.unix_seconds() + ahead_; }
  void sleep_for(std::chrono::nanoseconds duration) const override { real_.sleep_for(duration); }

 private:
  SystemClock real_;
  double ahead_;
};

TEST(ClockOffsets, come_from_the_shortest_round) {
  const std::vector<ClockRound> rounds{
      {.began = 100, .ended = 110, .stamps = {104, 200}},
      {.began = 200, .ended = 202, .stamps = {201.5, 231.5}},
      {.began = 300, .ended = 303, .stamps = {301, 400}},
  };

  const std::vector<ClockOffset> offsets = estimate_offsets(rounds);

  ASSERT_EQ(offsets.size(), 2U);
  EXPECT_DOUBLE_EQ(offsets[0].ahead_seconds, 0);
  EXPECT_DOUBLE_EQ(offsets[0].error_seconds, 0);
  EXPECT_DOUBLE_EQ(offsets[1].ahead_seconds, 30.5);
  EXPECT_DOUBLE_EQ(offsets[1].error_seconds, 1);
}

TEST(ClockOffsets, are_found_between_ranks_within_their_error) {
  comm::run_ranks(3, [](comm::Comm& comm) {
    const ShiftedClock clock(10.0 * comm.rank() - 5);

    const std::vector<ClockOffset> offsets = measure_offsets(comm, clock);

    ASSERT_EQ(offsets.size(), 3U);
    EXPECT_EQ(offsets[0].ahead_seconds, 0);
    EXPECT_LE(std::abs(offsets[1].ahead_seconds - 10), offsets[1].error_seconds + 1e-6);
    EXPECT_LE(std::abs(offsets[2].ahead_seconds - 20), offsets[2].error_seconds + 1e-6);
    EXPECT_LT(offsets[2].error_seconds, 5);
  });
}

TEST(Gather, gives_every_rank_the_facts_of_all) {
  std::vector<RankFacts> sent = healthy_job(3);
  sent[1].folders = {{.role = "run", .path = "a folder with a long name", .write_seconds = 0.1}};
  sent[2].host = "caf\xc3\xa9";

  comm::run_ranks(3, [&sent](comm::Comm& comm) {
    const auto got = gather(comm, sent[static_cast<std::size_t>(comm.rank())]);

    ASSERT_EQ(got.size(), 3U);
    for (std::size_t rank = 0; rank < 3; ++rank) EXPECT_EQ(encode(got[rank]), encode(sent[rank]));
    EXPECT_EQ(got[1].folders.at(0).write_seconds, 0.1);
    EXPECT_EQ(got[2].port.port, 9412);
  });
}

TEST(SumFacts, hold_the_measurement_or_the_wrong_sum_but_no_lost_rank) {
  const SumFacts right = sum_facts([] { return comm::SelfTest{.latency_seconds = 0.5}; });
  const SumFacts wrong =
      sum_facts([]() -> comm::SelfTest { throw DeviceError("wrong on rank 1"); });

  EXPECT_EQ(right.latency_seconds, 0.5);
  EXPECT_EQ(right.fault, "");
  EXPECT_EQ(wrong.fault, "wrong on rank 1");
  EXPECT_THROW((void)sum_facts([]() -> comm::SelfTest { throw CommError("rank 1 is gone"); }),
               CommError);
}

TEST(Examination, is_the_same_on_every_rank) {
  const test::TemporaryFolder folder;
  std::vector<std::string> pages(3);

  comm::run_ranks(3, [&](comm::Comm& comm) {
    const ShiftedClock clock(comm.rank() == 2 ? 10.0 : 0.0);
    const ExaminationOptions options{
        .data = folder.path() / "missing", .run = folder.path(), .port = 20000};
    pages[static_cast<std::size_t>(comm.rank())] = to_page(examine(comm, clock, options));
  });

  EXPECT_EQ(pages[0], pages[1]);
  EXPECT_EQ(pages[0], pages[2]);
  EXPECT_THAT(pages[0], testing::HasSubstr("too far:"));
  EXPECT_THAT(pages[0], testing::HasSubstr("missing': No such file"));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Examination, of_one_process_needs_no_job) {
  comm::SelfComm comm;
  const SystemClock clock;

  const Report report = examine(comm, clock, {.port = 20000});

  EXPECT_EQ(report.facts.size(), 1U);
  EXPECT_NE(gravest(report.findings), Status::kProblem) << to_page(report);
}

}  // namespace
}  // namespace atelier::doctor
