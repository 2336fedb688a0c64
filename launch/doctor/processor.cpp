#include "launch/doctor/processor.h"

#include <algorithm>
#include <sstream>

#include <sched.h>

#include "launch/doctor/control_groups.h"
#include "launch/doctor/small_file.h"

namespace atelier::doctor {
namespace {

std::vector<int> cores_in(const cpu_set_t& mask) {
  std::vector<int> cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &mask)) cores.push_back(core);
  }
  return cores;
}

bool read_mask(cpu_set_t& mask) {
  CPU_ZERO(&mask);
  return sched_getaffinity(0, sizeof mask, &mask) == 0;
}

// Asked for every core, the kernel gives those that the process's cpuset holds.
std::vector<int> widest_mask(const cpu_set_t& before) {
  cpu_set_t every;
  CPU_ZERO(&every);
  for (int core = 0; core < CPU_SETSIZE; ++core) CPU_SET(core, &every);
  cpu_set_t widest = before;
  if (sched_setaffinity(0, sizeof every, &every) == 0) {
    if (!read_mask(widest)) widest = before;
    static_cast<void>(sched_setaffinity(0, sizeof before, &before));
  }
  return cores_in(widest);
}

}  // namespace

bool CpuDescription::has(const std::string& feature) const {
  return std::find(features.begin(), features.end(), feature) != features.end();
}

const std::vector<std::string>& watched_features() {
  static const std::vector<std::string> kFeatures{"avx2", "avx512f", "avx512_bf16", "amx_tile",
                                                  "amx_bf16"};
  return kFeatures;
}

CpuDescription parse_cpuinfo(const std::string& content) {
  CpuDescription cpu;
  cpu.model = value_of(content, "model name");
  std::istringstream flags(value_of(content, "flags"));
  std::vector<std::string> all;
  for (std::string flag; flags >> flag;) all.push_back(flag);
  cpu.lists_features = !all.empty();
  for (const std::string& feature : watched_features()) {
    if (std::find(all.begin(), all.end(), feature) != all.end()) cpu.features.push_back(feature);
  }
  return cpu;
}

ProcessorFacts probe_processor(const Path& root) {
  ProcessorFacts facts{.cpu = parse_cpuinfo(read_small_file(root / "proc/cpuinfo")),
                       .group_cores = read_group_limits(root).cores};
  cpu_set_t mask;
  if (read_mask(mask)) {
    facts.cores = cores_in(mask);
    facts.reachable = widest_mask(mask);
  }
  return facts;
}

}  // namespace atelier::doctor
