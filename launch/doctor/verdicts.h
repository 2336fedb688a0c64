// Judges the facts of all ranks: what is well, what costs speed, what would stop training, and what
// to do about it. One function a topic, so that more can join. Thread safety: pure functions.
#pragma once

#include <span>
#include <vector>

#include "launch/doctor/facts.h"
#include "launch/doctor/finding.h"

namespace atelier::doctor {

/// The facts of a job, by rank; never empty.
using JobFacts = std::span<const RankFacts>;

/// The ranks of each host, in the order of their lowest ranks.
[[nodiscard]] std::vector<std::vector<int>> hosts_of(JobFacts job);

/// Above this the offset of two clocks, its error taken off, is worth a warning.
inline constexpr double kMostClockOffsetSeconds = 0.05;

/// Everything below, in the order of a page.
[[nodiscard]] std::vector<Finding> judge(JobFacts job);

[[nodiscard]] std::vector<Finding> judge_program(JobFacts job);  ///< one build on all ranks?
[[nodiscard]] std::vector<Finding> judge_job(JobFacts job);      ///< MPI, ranks, hosts
[[nodiscard]] std::vector<Finding> judge_cores(JobFacts job);    ///< has each rank its own?
[[nodiscard]] std::vector<Finding> judge_cpu(JobFacts job);      ///< what train.precision can use
[[nodiscard]] std::vector<Finding> judge_torch(JobFacts job);    ///< LibTorch's own choice
[[nodiscard]] std::vector<Finding> judge_gpus(JobFacts job);     ///< driver, CUDA, NCCL
/// The next four: none where no host has a device that can be used.
[[nodiscard]] std::vector<Finding> judge_devices(JobFacts job);    ///< kinds, memory, faults
[[nodiscard]] std::vector<Finding> judge_gpu_ranks(JobFacts job);  ///< has each rank its own?
[[nodiscard]] std::vector<Finding> judge_peers(JobFacts job);      ///< none for hosts of one device
[[nodiscard]] std::vector<Finding> judge_transport(JobFacts job);  ///< none for one rank
[[nodiscard]] std::vector<Finding> judge_memory(JobFacts job);     ///< of the tightest host
[[nodiscard]] std::vector<Finding> judge_shared_memory(JobFacts job);  ///< likewise
[[nodiscard]] std::vector<Finding> judge_sums(JobFacts job);     ///< right values, latency, speed
[[nodiscard]] std::vector<Finding> judge_clocks(JobFacts job);   ///< none for a job of one rank
[[nodiscard]] std::vector<Finding> judge_ports(JobFacts job);    ///< for the exporters
[[nodiscard]] std::vector<Finding> judge_folders(JobFacts job);  ///< those that were named

}  // namespace atelier::doctor
