#include "launch/doctor/examination.h"

#include <array>
#include <chrono>

#include <unistd.h>

#include "launch/base/error.h"
#include "launch/doctor/small_file.h"
#include "launch/doctor/verdicts.h"

namespace atelier::doctor {
namespace {

// Trials of two folders, and a device that takes its time to sync.
constexpr std::chrono::minutes kLongestProbe{5};

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

// One for all containers of a host: they share its cores.
std::string machine_id() {
  const std::string id = read_small_file("/proc/sys/kernel/random/boot_id");
  return id.empty() ? host_name() : id.substr(0, id.find('\n'));
}

RankFacts look_around(const comm::Comm& comm, const ExaminationOptions& options) {
  const bool measure = comm.local_rank() == 0;
  RankFacts facts{.host = host_name(),
                  .machine = machine_id(),
                  .backend = std::string(comm.backend()),
                  .hosts = comm.hosts(),
                  .build = options.build,
                  .processor = probe_processor(),
                  .memory = probe_memory(),
                  .gpu = probe_gpus({.local_rank = comm.local_rank(), .alone = comm.world() == 1}),
                  .port = probe_port(options.port + comm.local_rank())};
  if (options.data) facts.folders.push_back(probe_data_folder(*options.data, measure));
  if (options.run) facts.folders.push_back(probe_run_folder(*options.run, measure));
  return facts;
}

}  // namespace

SumFacts sum_facts(const std::function<comm::SelfTest()>& test) {
  try {
    const comm::SelfTest result = test();
    return {.latency_seconds = result.latency_seconds,
            .bytes_per_second = result.bytes_per_second,
            .large_bytes = result.large_bytes};
  } catch (const DeviceError& error) {
    return {.fault = error.what()};
  }
}

Report examine(comm::Comm& comm, const Clock& clock, const ExaminationOptions& options) {
  RankFacts mine = look_around(comm, options);
  comm.barrier({.timeout = kLongestProbe, .label = "probes of the hosts"});
  mine.clock = measure_offsets(comm, clock).at(static_cast<std::size_t>(comm.rank()));
  mine.sums = sum_facts([&comm] { return comm::self_test(comm); });
  if (options.nccl_log != nullptr) mine.sums.ways = options.nccl_log->ways();
  Report report{.facts = gather(comm, mine)};
  report.findings = judge(report.facts);
  return report;
}

}  // namespace atelier::doctor
