// Facts of a job in which all is well: what tests of verdicts spoil one thing of.
// Thread safety: pure functions.
#pragma once

#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "launch/doctor/facts.h"
#include "launch/doctor/finding.h"

namespace atelier::doctor {

/// `ranks` ranks on hosts of 4 ranks and 4 cores each, one core bound to each rank.
inline std::vector<RankFacts> healthy_job(int ranks) {
  constexpr std::uint64_t kGiB = std::uint64_t{1} << 30U;
  std::vector<RankFacts> job(static_cast<std::size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    RankFacts& facts = job[static_cast<std::size_t>(rank)];
    facts.host = "n" + std::to_string(rank / 4);
    facts.machine = "id of " + facts.host;
    facts.backend = "mpi";
    facts.hosts = (ranks + 3) / 4;
    facts.build = {.version = "1.0",
                   .commit = "abc",
                   .mpi = "Open MPI v4.1.4, package: Debian",
                   .hdf5 = "1.10.8",
                   .torch = "2.11.0",
                   .torch_instructions = "AVX512"};
    facts.processor.cpu = {.model = "A CPU", .lists_features = true};
    facts.processor.cpu.features = {"avx2", "avx512f", "avx512_bf16"};
    facts.processor.cores = {rank % 4};
    facts.processor.reachable = {0, 1, 2, 3};
    facts.memory = {.total_bytes = 64 * kGiB,
                    .available_bytes = 60 * kGiB,
                    .has_shared = true,
                    .shared_total_bytes = 32 * kGiB,
                    .shared_free_bytes = 32 * kGiB};
    facts.gpu.fault = "This program was built without CUDA and NCCL.";
    facts.port.port = 9410 + rank % 4;
    facts.sums = {.latency_seconds = 1e-6, .bytes_per_second = 2e9, .large_bytes = 4U << 20U};
    facts.clock.error_seconds = 1e-6;
  }
  return job;
}

/// The only finding; its status and a part of what was found are looked at.
inline void expect_one(const std::vector<Finding>& findings, Status status,
                       const std::string& part) {
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].status, status) << findings[0].found;
  EXPECT_THAT(findings[0].found, testing::HasSubstr(part));
  if (status != Status::kOk) {
    EXPECT_NE(findings[0].advice, "") << findings[0].found;
  }
}

}  // namespace atelier::doctor
