#include "launch/doctor/verdicts.h"

#include <gmock/gmock.h>

#include "tests/unit/doctor/made_up_job.h"

namespace atelier::doctor {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Findings = std::vector<Finding>;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
constexpr std::uint64_t kGiB = std::uint64_t{1} << 30U;

TEST(Judge, a_healthy_job_has_no_warning_and_every_topic_once) {
  for (const int ranks : {1, 4, 8}) {
    const Findings findings = judge(healthy_job(ranks));

    const std::size_t topics = ranks == 1 ? 11 : 12;  // one rank has no clocks to compare
    EXPECT_EQ(findings.size(), topics);
    for (const Finding& finding : findings) {
      const bool bound = ranks == 1 && finding.topic == "cores";  // one of four cores
      EXPECT_EQ(finding.status, bound ? Status::kWarning : Status::kOk) << finding.found;
      EXPECT_THAT(finding.ranks, IsEmpty());
      EXPECT_NE(finding.found, "");
    }
  }
}

TEST(Program, another_build_on_one_rank_is_a_problem_that_names_it) {
  auto job = healthy_job(4);
  job[2].build.commit = "def";

  const Findings findings = judge_program(job);

  ASSERT_EQ(findings.size(), 2U);
  EXPECT_THAT(findings[0].ranks, ElementsAre(0, 1, 3));
  EXPECT_THAT(findings[1].ranks, ElementsAre(2));
  EXPECT_EQ(findings[1].status, Status::kProblem);
  EXPECT_THAT(findings[1].found, HasSubstr("def"));
}

TEST(Job, says_how_sums_travel) {
  expect_one(judge_job(healthy_job(4)), Status::kOk, "4 ranks on 1 host, backend mpi");
  expect_one(judge_job(healthy_job(8)), Status::kOk, "MPI messages between hosts");
}

TEST(Cores, more_ranks_than_cores_is_a_warning) {
  auto job = healthy_job(4);
  for (RankFacts& rank : job) rank.processor.cores = rank.processor.reachable = {0, 1};

  expect_one(judge_cores(job), Status::kWarning, "4 ranks on 2 cores (0-1)");
  EXPECT_THAT(judge_cores(job)[0].advice, HasSubstr("at most 2 ranks"));
}

TEST(Cores, unbound_ranks_may_share_all_cores) {
  auto job = healthy_job(4);
  for (RankFacts& rank : job) rank.processor.cores = {0, 1, 2, 3};

  expect_one(judge_cores(job), Status::kOk, "4 ranks on 4 cores (0-3), 4 to each rank");
}

TEST(Cores, ranks_bound_to_the_same_core_are_named) {
  auto job = healthy_job(4);
  job[3].processor.cores = {2};

  expect_one(judge_cores(job), Status::kWarning, "ranks 2-3 share 1 core");
}

TEST(Cores, overlapping_bindings_that_leave_too_few_cores_are_a_warning) {
  auto job = healthy_job(3);
  job[0].processor.cores = {0, 1};
  job[1].processor.cores = {0};
  job[2].processor.cores = {1};

  expect_one(judge_cores(job), Status::kWarning, "ranks 0-2 share 2 cores");
}

TEST(Cores, one_core_each_is_a_warning_only_where_others_stay_idle) {
  expect_one(judge_cores(healthy_job(4)), Status::kOk, "1 to each rank");
  expect_one(judge_cores(healthy_job(3)), Status::kWarning, "1 core cannot be used");
  EXPECT_THAT(judge_cores(healthy_job(3))[0].advice, HasSubstr("--bind-to none"));
}

TEST(Cores, a_control_group_with_less_time_than_ranks_is_a_warning) {
  auto job = healthy_job(4);
  for (RankFacts& rank : job) rank.processor.group_cores = 1.5;

  expect_one(judge_cores(job), Status::kWarning, "allows 1.5 cores");
}

TEST(Cores, one_crowded_host_of_two_is_named_by_its_ranks) {
  auto job = healthy_job(8);
  job[7].processor.cores = {2};

  const Findings findings = judge_cores(job);

  ASSERT_EQ(findings.size(), 2U);
  EXPECT_EQ(findings[0].status, Status::kOk);
  EXPECT_THAT(findings[1].ranks, ElementsAre(4, 5, 6, 7));
  EXPECT_THAT(findings[1].found, HasSubstr("ranks 6-7 share 1 core"));
}

TEST(Cpu, says_what_bf16_is_computed_with) {
  auto job = healthy_job(1);
  auto& features = job[0].processor.cpu.features;
  expect_one(judge_cpu(job), Status::kOk, "in AVX-512");
  features = {"avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16"};
  expect_one(judge_cpu(job), Status::kOk, "bf16 runs on AMX");
  features = {"avx2", "avx512f"};
  expect_one(judge_cpu(job), Status::kOk, "no bf16 instructions");
  features = {};
  expect_one(judge_cpu(job), Status::kWarning, "not even AVX2");
  job[0].processor.cpu.lists_features = false;
  expect_one(judge_cpu(job), Status::kOk, "no list");
}

TEST(Cpu, ranks_with_other_instructions_are_named) {
  auto job = healthy_job(4);
  job[1].processor.cpu.features.pop_back();

  const Findings findings = judge_cpu(job);

  ASSERT_EQ(findings.size(), 2U);
  EXPECT_THAT(findings[1].ranks, ElementsAre(1));
  EXPECT_EQ(findings[0].status, Status::kWarning);
  EXPECT_EQ(findings[1].status, Status::kWarning);
}

TEST(Torch, held_back_below_the_cpu_is_a_warning) {
  auto job = healthy_job(1);
  job[0].build.torch_instructions = "DEFAULT";

  expect_one(judge_torch(job), Status::kWarning, "although the CPU has AVX2");
}

TEST(Memory, of_the_tightest_host_counts) {
  auto job = healthy_job(8);
  expect_one(judge_memory(job), Status::kOk, "60.0 GiB available of 64.0 GiB");
  for (std::size_t rank = 4; rank < 8; ++rank) job[rank].memory.available_bytes = 3 * kGiB;
  expect_one(judge_memory(job), Status::kWarning, "least on n1: 3.0 GiB available");
  EXPECT_THAT(judge_memory(job)[0].found, HasSubstr("little for 4 ranks"));
}

TEST(Memory, a_control_group_may_allow_less) {
  auto job = healthy_job(4);
  for (RankFacts& rank : job) rank.memory.group_limit_bytes = 8 * kGiB;
  expect_one(judge_memory(job), Status::kOk, "control group allows 8.0 GiB");
  for (RankFacts& rank : job) rank.memory.group_limit_bytes = 2 * kGiB;
  expect_one(judge_memory(job), Status::kWarning, "2.0 GiB available");
}

TEST(SharedMemory, that_holds_no_gradients_is_a_warning) {
  auto job = healthy_job(4);
  for (RankFacts& rank : job) rank.memory.shared_free_bytes = 256 * kMiB;
  expect_one(judge_shared_memory(job), Status::kOk, "256 MiB free of 32.0 GiB");
  job[0].memory.shared_free_bytes -= 1;
  expect_one(judge_shared_memory(job), Status::kWarning, "gradients of 4 ranks may not fit");
  for (RankFacts& rank : job) rank.memory.has_shared = false;
  expect_one(judge_shared_memory(job), Status::kWarning, "missing");
}

TEST(SharedMemory, a_process_alone_asks_whether_a_job_could_start) {
  auto job = healthy_job(1);
  job[0].memory.shared_free_bytes = 14 * kMiB;
  expect_one(judge_shared_memory(job), Status::kWarning, "gradients of 2 ranks may not fit");
  job[0].memory.shared_free_bytes -= 1;
  expect_one(judge_shared_memory(job), Status::kWarning, "needs 14.0 MiB to start");
}

TEST(Sums, of_the_slowest_rank_are_told) {
  auto job = healthy_job(4);
  job[3].sums.latency_seconds = 5e-4;
  job[2].sums.bytes_per_second = 2e8;

  expect_one(judge_sums(job), Status::kOk, "4 bytes take 500 us, 4.0 MiB move at 191 MiB/s");
}

TEST(Sums, that_are_slow_are_a_warning) {
  auto job = healthy_job(4);
  job[1].sums.latency_seconds = 2e-3;
  expect_one(judge_sums(job), Status::kWarning, "slow");
  job = healthy_job(8);
  job[1].sums.bytes_per_second = 9e7;
  expect_one(judge_sums(job), Status::kWarning, "slow");
  EXPECT_THAT(judge_sums(job)[0].advice, HasSubstr("network"));
}

TEST(Sums, that_are_wrong_are_a_problem) {
  auto job = healthy_job(4);
  for (RankFacts& rank : job) rank.sums.fault = "A sum came out wrong on rank 1.";

  expect_one(judge_sums(job), Status::kProblem, "wrong on rank 1");
}

TEST(Clocks, are_told_by_the_rank_furthest_off) {
  auto job = healthy_job(4);
  job[1].clock = {.ahead_seconds = 0.01, .error_seconds = 0.001};
  job[2].clock = {.ahead_seconds = -0.02, .error_seconds = 0.001};

  expect_one(judge_clocks(job), Status::kOk, "rank 2, 20.000 ms behind (+-1.000 ms)");
}

TEST(Clocks, warn_beyond_50_ms_less_the_error) {
  auto job = healthy_job(4);
  job[3].clock = {.ahead_seconds = 0.06, .error_seconds = 0.02};
  expect_one(judge_clocks(job), Status::kOk, "60.000 ms ahead");
  job[3].clock.error_seconds = 0.001;
  expect_one(judge_clocks(job), Status::kWarning, "too far: rank 3");
}

TEST(Ports, that_are_taken_are_named_beside_the_free_ones) {
  auto job = healthy_job(4);
  expect_one(judge_ports(job), Status::kOk, "9410-9413: free");
  job[1].port.fault = "Address already in use";

  const Findings findings = judge_ports(job);

  ASSERT_EQ(findings.size(), 2U);
  EXPECT_EQ(findings[0].found, "9410, 9412-9413: free");
  EXPECT_EQ(findings[1].status, Status::kWarning);
  EXPECT_EQ(findings[1].found, "9411: Address already in use");
  EXPECT_THAT(findings[1].ranks, ElementsAre(1));
}

std::vector<RankFacts> job_with(const FolderFacts& folder, int ranks = 4) {
  auto job = healthy_job(ranks);
  for (RankFacts& rank : job) rank.folders = {folder};
  return job;
}

FolderFacts run_folder() {
  return {.role = "run", .path = "runs/gan", .kind = "ext4", .free_bytes = 100 * kGiB};
}

FolderFacts data_folder() {
  return {.role = "data", .path = "photos", .kind = "nfs", .free_bytes = 1 * kGiB};
}

TEST(Folders, none_named_is_said_with_the_options) {
  const Findings findings = judge_folders(healthy_job(2));

  expect_one(findings, Status::kOk, "none");
  EXPECT_THAT(findings[0].advice, AllOf(HasSubstr("--data"), HasSubstr("--run")));
}

TEST(Folders, the_slowest_measurement_and_the_least_room_count) {
  auto job = job_with(run_folder());
  job[0].folders[0].written_bytes = job[0].folders[0].read_bytes = 64 * kMiB;
  job[0].folders[0].write_seconds = job[0].folders[0].read_seconds = 0.125;
  job[3].folders[0].written_bytes = job[3].folders[0].read_bytes = 64 * kMiB;
  job[3].folders[0].write_seconds = 0.5;
  job[3].folders[0].read_seconds = 0.01;
  job[2].folders[0].free_bytes = 90 * kGiB;

  expect_one(judge_folders(job), Status::kOk,
             "'runs/gan' on ext4, 90.0 GiB free, written at 128 MiB/s, read at 512 MiB/s");
}

TEST(Folders, a_fault_is_a_problem_that_names_its_ranks) {
  auto job = job_with(data_folder());
  job[2].folders[0].fault = "cannot find 'photos': No such file or directory";

  const Findings findings = judge_folders(job);

  ASSERT_EQ(findings.size(), 2U);
  EXPECT_EQ(findings[0].status, Status::kOk);
  EXPECT_THAT(findings[0].ranks, ElementsAre(0, 1, 3));
  EXPECT_EQ(findings[1].status, Status::kProblem);
  EXPECT_THAT(findings[1].ranks, ElementsAre(2));
  EXPECT_THAT(findings[1].advice, HasSubstr("atelier data import"));
}

TEST(Folders, a_fault_on_every_rank_is_said_once) {
  FolderFacts folder = run_folder();
  folder.fault = "cannot create a file in 'runs': Read-only file system";

  const Findings findings = judge_folders(job_with(folder));

  expect_one(findings, Status::kProblem, "Read-only file system");
  EXPECT_THAT(findings[0].ranks, IsEmpty());
}

TEST(Folders, little_room_for_a_run_is_a_warning_and_none_a_problem) {
  FolderFacts folder = run_folder();
  folder.free_bytes = 1 * kGiB;
  expect_one(judge_folders(job_with(folder)), Status::kWarning, "little room");
  folder.free_bytes = 63 * kMiB;
  expect_one(judge_folders(job_with(folder)), Status::kProblem, "little room");
  expect_one(judge_folders(job_with(data_folder())), Status::kOk, "1.0 GiB free");
}

TEST(Folders, a_run_that_will_not_outlive_its_host_or_container_is_a_warning) {
  FolderFacts folder = run_folder();
  folder.kind = "tmpfs";
  expect_one(judge_folders(job_with(folder)), Status::kWarning, "gone with the host");
  folder.kind = "overlay";
  expect_one(judge_folders(job_with(folder)), Status::kWarning, "layer of the container");
}

TEST(Folders, slow_disks_are_a_warning) {
  FolderFacts data = data_folder();
  data.read_bytes = 64 * kMiB;
  data.read_seconds = 1;
  expect_one(judge_folders(job_with(data)), Status::kWarning, "slow");
  FolderFacts run = run_folder();
  run.written_bytes = 64 * kMiB;
  run.write_seconds = 2;
  expect_one(judge_folders(job_with(run)), Status::kWarning, "slow to write");
}

TEST(Folders, a_few_bytes_say_nothing_about_speed) {
  FolderFacts data = data_folder();
  data.read_bytes = 1000;
  data.read_seconds = 1;

  const Findings findings = judge_folders(job_with(data));

  expect_one(findings, Status::kOk, "photos");
  EXPECT_THAT(findings[0].found, Not(HasSubstr("/s")));
}

}  // namespace
}  // namespace atelier::doctor
