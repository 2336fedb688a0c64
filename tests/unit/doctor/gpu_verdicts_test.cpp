#include "launch/base/json.h"
#include "launch/base/text.h"
#include "launch/doctor/nccl_log.h"
#include "launch/doctor/report.h"
#include "launch/doctor/verdicts.h"
#include "tests/support/fake_gpu/fake_nccl.h"
#include "tests/unit/doctor/made_up_job.h"

namespace atelier::doctor {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Findings = std::vector<Finding>;

/// A healthy job with the backend nccl: four ranks and as many made-up devices to a host.
std::vector<RankFacts> job_on_gpus(int ranks, std::string_view faults = "devices=4") {
  auto job = healthy_job(ranks);
  for (int rank = 0; rank < ranks; ++rank) {
    RankFacts& facts = job[static_cast<std::size_t>(rank)];
    facts.backend = "nccl";
    facts.gpu = {.built_with_cuda = true, .driver = "580.95"};
    ask_devices(tests::make_fake_gpu(tests::parse_faults(faults, rank)),
                {.local_rank = rank % 4, .alone = ranks == 1}, facts.gpu);
  }
  return job;
}

std::vector<RankFacts> with_backend(std::string_view backend, std::vector<RankFacts> job) {
  for (RankFacts& rank : job) rank.backend = backend;
  return job;
}

TEST(Gpu, says_in_one_line_why_none_is_used) {
  auto job = healthy_job(1);
  GpuFacts& gpu = job[0].gpu;
  expect_one(judge_gpus(job), Status::kOk, "no NVIDIA driver is loaded, and the build has no CUDA");
  gpu.driver = "535.1";
  expect_one(judge_gpus(job), Status::kWarning,
             "although driver 535.1 is loaded: This program was");
  gpu = {.built_with_cuda = true, .cuda = "13.0", .nccl = "2.28.9", .fault = "none is visible."};
  expect_one(judge_gpus(job), Status::kOk, "none is visible.");
  gpu.driver = "535.1";
  expect_one(judge_gpus(job), Status::kWarning, "none is visible.");
  gpu.fault = "";
  gpu.devices = 2;
  expect_one(judge_gpus(job), Status::kOk, "2 devices, driver 535.1, CUDA 13.0, NCCL 2.28.9");
}

TEST(Gpu, versions_that_do_not_fit_are_a_warning) {
  const Findings older = judge_gpus(job_on_gpus(2, "driver=12020"));
  expect_one(older, Status::kWarning, "the driver serves CUDA up to 12.2, the program uses 13.0");
  EXPECT_THAT(older[0].advice, HasSubstr("Install a driver that serves CUDA 13.0"));

  expect_one(judge_gpus(job_on_gpus(2, "runtime=13010,driver=13010")), Status::kWarning,
             "the program was built with CUDA 13.0");
  expect_one(judge_gpus(job_on_gpus(2, "driver=13010")), Status::kOk, "8 devices, driver 580.95");

  const Findings none = judge_gpus(job_on_gpus(1, "devices=0,driver=12020"));
  expect_one(none, Status::kWarning, "no CUDA-capable device");
  EXPECT_THAT(none[0].found, HasSubstr("serves CUDA up to 12.2"));
}

TEST(GpuJob, that_is_healthy_has_no_warning_and_every_topic_once) {
  for (const int ranks : {4, 8}) {
    const auto job = job_on_gpus(ranks);
    for (const auto& judge_topic :
         {judge_gpus, judge_devices, judge_gpu_ranks, judge_peers, judge_transport}) {
      const Findings findings = judge_topic(job);
      ASSERT_EQ(findings.size(), 1U);
      EXPECT_EQ(findings[0].status, Status::kOk) << findings[0].found;
      EXPECT_THAT(findings[0].ranks, IsEmpty());
    }
    EXPECT_EQ(judge(job).size(), judge(healthy_job(ranks)).size() + 4);
  }
}

TEST(GpuDevices, are_counted_by_kind_with_their_places) {
  expect_one(judge_devices(job_on_gpus(2, "devices=2,name=Quick 9")), Status::kOk,
             "2 x Quick 9 (compute capability 9.0, 80.0 GiB, at least 79.0 GiB free: 0000:10:00.0, "
             "0000:11:00.0)");
}

TEST(GpuDevices, what_stops_or_slows_one_is_told_by_its_place) {
  expect_one(judge_devices(job_on_gpus(4, "2:memory=full,devices=4")), Status::kWarning,
             "0000:12:00.0 has 64.0 MiB left");
  const auto busy = job_on_gpus(4, "1:device=busy,devices=4");
  expect_one(judge_devices(busy), Status::kProblem,
             "0000:11:00.0 cannot be used: cudaSetDevice(1)");
  expect_one(judge_devices(with_backend("mpi", busy)), Status::kWarning, "cannot be used");
  expect_one(judge_devices(job_on_gpus(1, "devices=1,capability=70")), Status::kProblem,
             "0000:10:00.0 is older than CUDA 13.0 supports");
}

TEST(GpuDevices, of_several_kinds_in_one_job_are_a_warning) {
  std::string faults = "devices=4";
  for (const char* const rank : {"4", "5", "6", "7"}) faults += text(",", rank, ":name=Slow 1");

  const Findings findings = judge_devices(job_on_gpus(8, faults));

  ASSERT_EQ(findings.size(), 2U);
  EXPECT_EQ(findings[0].status, Status::kWarning);
  EXPECT_THAT(findings[0].found, HasSubstr("several kinds"));
  EXPECT_THAT(findings[1].ranks, ElementsAre(4, 5, 6, 7));
}

TEST(GpuRanks, without_a_device_are_named) {
  auto job = job_on_gpus(2);
  job[1].gpu.device = -1;
  expect_one(judge_gpu_ranks(job), Status::kProblem, "there is none for rank 1");
  expect_one(judge_gpu_ranks(with_backend("mpi", job)), Status::kOk, "none for rank 1");
}

TEST(GpuRanks, more_than_devices_are_named_with_those_they_would_share) {
  const auto job = job_on_gpus(4, "devices=2");
  expect_one(judge_gpu_ranks(job), Status::kProblem,
             "4 ranks for 2 devices; ranks 0, 2 would share 0000:10:00.0; ranks 1, 3 would share");
  EXPECT_THAT(judge_gpu_ranks(job)[0].advice, HasSubstr("ppr:2:node"));
}

TEST(GpuRanks, that_would_share_a_device_are_named) {
  auto job = job_on_gpus(4);
  job[3].gpu.device = 1;

  expect_one(judge_gpu_ranks(job), Status::kProblem, "ranks 1, 3 would share 0000:11:00.0");
}

TEST(GpuRanks, fewer_than_devices_leave_some_idle) {
  expect_one(judge_gpu_ranks(job_on_gpus(2)), Status::kWarning, "2 devices will stay idle");
  expect_one(judge_gpu_ranks(with_backend("self", job_on_gpus(1))), Status::kOk,
             "1 rank for 4 devices");
}

TEST(GpuPeers, that_cannot_reach_each_other_are_a_warning_in_a_job_on_gpus) {
  const auto job = job_on_gpus(4, "devices=4,peer=none");
  expect_one(judge_peers(job), Status::kWarning,
             "6 of 6 pairs of devices cannot reach each other's memory: 0000:10:00.0 and "
             "0000:11:00.0 and others");
  EXPECT_THAT(judge_peers(job)[0].advice, AllOf(HasSubstr("IOMMU"), HasSubstr("topo -m")));
  expect_one(judge_peers(with_backend("mpi", job)), Status::kOk, "cannot reach");
  expect_one(judge_peers(job_on_gpus(4)), Status::kOk, "all 4 devices reach each other's memory");
  EXPECT_THAT(judge_peers(job_on_gpus(1, "devices=1")), IsEmpty());
}

TEST(GpuPeers, that_no_rank_sees_together_are_not_known) {
  auto job = job_on_gpus(2, "devices=1");
  job[1].gpu = job[0].gpu;
  job[1].gpu.each[0].bus_id = "0000:99:00.0";

  expect_one(judge_peers(job), Status::kOk, "not known: each rank sees one device alone");
}

TEST(Transport, is_said_to_be_likely) {
  expect_one(judge_transport(job_on_gpus(4)), Status::kOk,
             "likely moves data directly between the devices of a host");
  expect_one(judge_transport(job_on_gpus(4, "devices=4,peer=none")), Status::kOk,
             "through shared memory of the host");
  expect_one(judge_transport(job_on_gpus(8)), Status::kOk, "between hosts over TCP sockets");
  EXPECT_THAT(judge_transport(with_backend("mpi", job_on_gpus(4))), IsEmpty());
  EXPECT_THAT(judge_transport(job_on_gpus(1)), IsEmpty());
}

TEST(Transport, is_what_nccl_has_logged) {
  const std::vector<std::string> ways = ways_in(
      "a:1:1 [0] NCCL INFO NCCL version 2.28.9\n"
      "a:1:1 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[1] via P2P/CUMEM\n"
      "a:1:1 [0] NCCL INFO Channel 01/0 : 0[0] -> 1[1] via P2P/CUMEM\n"
      "a:1:1 [0] NCCL INFO Channel 00/0 : 3[3] -> 4[0] [send] via NET/IB/0/GDRDMA\n"
      "a:1:1 [0] NCCL INFO comm 0x1 went via here\n"
      "a:1:1 [0] NCCL INFO Channel 02 : 0[0] -> 1[1] via SHM/direct/direct");
  EXPECT_THAT(ways, ElementsAre("NET/IB/0/GDRDMA", "P2P/CUMEM", "SHM/direct/direct"));

  auto job = job_on_gpus(8);
  job[0].sums.ways = {"P2P/CUMEM"};
  job[3].sums.ways = {"P2P/CUMEM", "NET/Socket/0"};
  expect_one(judge_transport(job), Status::kOk,
             "moves data directly from device to device (P2P/CUMEM), over TCP sockets "
             "(NET/Socket/0)");
  job[0].gpu.fabrics = {"mlx5_0"};
  expect_one(judge_transport(job), Status::kWarning, "no active InfiniBand or RoCE port");
}

TEST(Transport, is_not_also_said_to_be_mpi_s) {
  auto job = job_on_gpus(8);
  const Findings how = judge_job(job);
  EXPECT_EQ(how.at(0).found, "8 ranks on 2 hosts, backend nccl");

  for (RankFacts& rank : job) rank.sums.bytes_per_second = 1e7;
  expect_one(judge_sums(job), Status::kWarning, "slow");
  EXPECT_THAT(judge_sums(job)[0].advice, HasSubstr("NCCL_SOCKET_IFNAME"));
}

TEST(Transport, takes_the_fast_network_where_every_host_has_one) {
  auto job = job_on_gpus(8);
  for (std::size_t rank = 0; rank < 4; ++rank) job[rank].gpu.fabrics = {"mlx5_0"};
  expect_one(judge_transport(job), Status::kWarning,
             "some hosts have no active InfiniBand or RoCE port");
  for (RankFacts& rank : job) rank.gpu.fabrics = {"mlx5_0"};
  expect_one(judge_transport(job), Status::kOk, "over InfiniBand or RoCE (mlx5_0)");
}

TEST(GpuJson, carries_each_device) {
  const Report report{.facts = job_on_gpus(2, "devices=2"), .findings = {}};

  const auto json = parse_json_strict(to_json(report), "report");

  const auto& gpu = json.at("facts").at(1).at("gpu");
  EXPECT_EQ(gpu.at("driver_cuda"), "13.0");
  EXPECT_EQ(gpu.at("device"), 1);
  EXPECT_EQ(gpu.at("each").at(1).at("bus_id"), "0000:11:00.0");
  EXPECT_EQ(gpu.at("each").at(1).at("free_bytes"), std::uint64_t{79} << 30U);
  EXPECT_EQ(gpu.at("each").at(1).at("peers").at(0), "0000:10:00.0");
}

}  // namespace
}  // namespace atelier::doctor
