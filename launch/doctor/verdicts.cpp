#include "launch/doctor/verdicts.h"

#include <algorithm>
#include <cmath>

#include "launch/base/text.h"

namespace atelier::doctor {
namespace {

constexpr double kLongLatencySeconds = 1e-3;
constexpr double kSlowSumBytesPerSecond = 1e8;  // a Gigabit Ethernet

std::vector<Finding> merged(JobFacts job, Finding (*of_rank)(const RankFacts&)) {
  std::vector<Finding> each;
  for (const RankFacts& rank : job) each.push_back(of_rank(rank));
  return merge(each);
}

std::string micros(double seconds) { return fixed(seconds * 1e6, seconds < 1e-5 ? 1 : 0) + " us"; }
std::string millis(double seconds) { return fixed(seconds * 1e3, 3) + " ms"; }

Finding program_of(const RankFacts& rank) {
  const BuildFacts& build = rank.build;
  return {.topic = "program",
          .found = text("atelier ", build.version, ", commit ", build.commit, ", HDF5 ", build.hdf5,
                        ", ", build.mpi.substr(0, build.mpi.find(',')))};
}

Finding torch_of(const RankFacts& rank) {
  Finding finding{.topic = "LibTorch",
                  .found = text(rank.build.torch, ", its kernels use ",
                                rank.build.torch_instructions, " instructions")};
  const bool held_back = !rank.build.torch_instructions.starts_with("AVX");
  if (rank.processor.cpu.has("avx2") && held_back) {
    finding.status = Status::kWarning;
    finding.found += ", although the CPU has AVX2";
    finding.advice = "Remove ATEN_CPU_CAPABILITY from the environment.";
  }
  return finding;
}

std::string meaning_of(const CpuDescription& cpu) {
  if (!cpu.lists_features) return "no list of its instructions";
  if (cpu.has("amx_tile") && cpu.has("amx_bf16")) return "train.precision = bf16 runs on AMX";
  if (cpu.has("avx512_bf16")) return "train.precision = bf16 runs in AVX-512";
  return "no bf16 instructions, train.precision = fp32 should win";
}

Finding cpu_of(const RankFacts& rank) {
  const CpuDescription& cpu = rank.processor.cpu;
  Finding finding{.topic = "CPU",
                  .found = text(cpu.model.empty() ? "unknown model" : cpu.model,
                                cpu.features.empty() ? "" : text(" (", join(cpu.features), ")"),
                                ": ", meaning_of(cpu))};
  if (cpu.lists_features && !cpu.has("avx2")) {
    finding.status = Status::kWarning;
    finding.found += "; not even AVX2";
    finding.advice = "Use another CPU, or a virtual machine that passes AVX2 on.";
  }
  return finding;
}

const char* advice_on_speed(const RankFacts& rank) {
  if (rank.backend == "nccl") {
    return "See what is said of GPU peers and NCCL; NCCL_DEBUG=INFO prints the network it takes, "
           "NCCL_SOCKET_IFNAME and NCCL_IB_HCA choose it.";
  }
  if (rank.hosts == 1) return "Give each rank a core of its own that nothing else uses.";
  return "Give each rank a core of its own, and MPI the fast network (see mpirun's --mca "
         "btl_tcp_if_include); `atelier bench comm` measures more.";
}

}  // namespace

std::vector<Finding> judge_program(JobFacts job) {
  std::vector<Finding> findings = merged(job, program_of);
  if (findings.size() == 1) return findings;
  for (Finding& finding : findings) {
    finding.status = Status::kProblem;
    finding.advice = "Install the same build and the same MPI on every host.";
  }
  return findings;
}

std::vector<Finding> judge_torch(JobFacts job) { return merged(job, torch_of); }

std::vector<Finding> judge_cpu(JobFacts job) {
  std::vector<Finding> findings = merged(job, cpu_of);
  const auto& features = job.front().processor.cpu.features;
  const bool alike = std::all_of(job.begin(), job.end(), [&](const RankFacts& rank) {
    return rank.processor.cpu.features == features;
  });
  if (alike) return findings;
  for (Finding& finding : findings) {
    finding.status = Status::kWarning;
    finding.advice =
        "Ranks with other instructions differ in speed, and their rounding changes with the hosts "
        "a run gets. Use hosts of one kind, or set ATEN_CPU_CAPABILITY=avx2 and "
        "ONEDNN_MAX_CPU_ISA=AVX2 on all.";
  }
  return findings;
}

std::vector<Finding> judge_job(JobFacts job) {
  Finding finding{.topic = "job"};
  const auto hosts = static_cast<std::size_t>(job.front().hosts);
  finding.found = text(counted(job.size(), "rank"), " on ", counted(hosts, "host"), ", backend ",
                       job.front().backend);
  if (job.size() == 1) {
    finding.advice = "`mpirun -n N atelier doctor` examines a whole job.";
  } else if (job.front().backend != "nccl") {  // judge_transport tells of that
    finding.found += ": shared memory";
    if (hosts > 1) finding.found += " within a host, MPI messages between hosts";
  }
  return {finding};
}

std::vector<Finding> judge_sums(JobFacts job) {
  double latency = 0;
  double speed = job.front().sums.bytes_per_second;
  for (const RankFacts& rank : job) {
    latency = std::max(latency, rank.sums.latency_seconds);
    speed = std::min(speed, rank.sums.bytes_per_second);
  }
  const SumFacts& first = job.front().sums;
  if (!first.fault.empty()) {
    return {{.topic = "all-reduce",
             .status = Status::kProblem,
             .found = first.fault,
             .advice = "`atelier bench comm` on fewer hosts at a time finds the one at fault."}};
  }
  if (job.size() == 1) return {{.topic = "all-reduce", .found = "one rank: nothing is sent"}};
  Finding finding{.topic = "all-reduce",
                  .found = text("every value is right; 4 bytes take ", micros(latency), ", ",
                                human_bytes(first.large_bytes), " move at ",
                                human_bytes(static_cast<std::uint64_t>(speed)), "/s")};
  if (latency > kLongLatencySeconds || speed < kSlowSumBytesPerSecond) {
    finding.status = Status::kWarning;
    finding.found += ": slow";
    finding.advice = advice_on_speed(job.front());
  }
  return {finding};
}

std::vector<Finding> judge_clocks(JobFacts job) {
  if (job.size() == 1) return {};
  std::size_t worst = 1;
  std::vector<int> apart;
  for (std::size_t rank = 1; rank < job.size(); ++rank) {
    const ClockOffset& clock = job[rank].clock;
    if (std::abs(clock.ahead_seconds) > std::abs(job[worst].clock.ahead_seconds)) worst = rank;
    if (std::abs(clock.ahead_seconds) - clock.error_seconds > kMostClockOffsetSeconds) {
      apart.push_back(static_cast<int>(rank));
    }
  }
  const ClockOffset& offset = job[worst].clock;
  Finding finding{.topic = "clocks",
                  .found = text("furthest from rank 0 is rank ", worst, ", ",
                                millis(std::abs(offset.ahead_seconds)),
                                offset.ahead_seconds < 0 ? " behind" : " ahead", " (+-",
                                millis(offset.error_seconds), ")")};
  if (!apart.empty()) {
    finding.status = Status::kWarning;
    finding.found += text("; too far: ", rank_list(apart));
    finding.advice =
        "Synchronise the hosts' clocks (chrony, ntpd): logs and Prometheus put times of several "
        "hosts side by side.";
  }
  return {finding};
}

std::vector<Finding> judge_ports(JobFacts job) {
  std::vector<int> free;
  std::vector<Finding> findings;
  for (std::size_t rank = 0; rank < job.size(); ++rank) {
    const PortFacts& port = job[rank].port;
    if (port.fault.empty()) {
      free.push_back(port.port);
    } else {
      findings.push_back({.topic = "metrics port",
                          .status = Status::kWarning,
                          .found = text(port.port, ": ", port.fault),
                          .advice = "Metrics move to the next free port. End what listens there, "
                                    "or set monitoring.port.",
                          .ranks = {static_cast<int>(rank)}});
    }
  }
  std::sort(free.begin(), free.end());
  free.erase(std::unique(free.begin(), free.end()), free.end());
  if (!free.empty()) {
    findings.insert(findings.begin(),
                    {.topic = "metrics port", .found = text(number_list(free), ": free")});
  }
  return findings;
}

std::vector<Finding> judge(JobFacts job) {
  std::vector<Finding> all;
  for (const auto& judge_topic :
       {judge_program, judge_job, judge_cores, judge_cpu, judge_torch, judge_gpus, judge_devices,
        judge_gpu_ranks, judge_peers, judge_transport, judge_memory, judge_shared_memory,
        judge_sums, judge_clocks, judge_ports, judge_folders}) {
    const std::vector<Finding> findings = judge_topic(job);
    all.insert(all.end(), findings.begin(), findings.end());
  }
  return all;
}

}  // namespace atelier::doctor
