// Verdicts about GPUs. Training takes them only with the backend nccl: in any other job they are
// told of, and what a job on them would meet is advice, no warning.
#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <tuple>

#include "launch/base/text.h"
#include "launch/doctor/nccl_log.h"
#include "launch/doctor/verdicts.h"

namespace atelier::doctor {
namespace {

using Ranks = std::vector<int>;

constexpr double kLittleFree = 0.5;  // of a device's memory
constexpr const char* kLeastCapability = "7.5";

const RankFacts& at(JobFacts job, int rank) { return job[static_cast<std::size_t>(rank)]; }

bool sums_on_gpus(JobFacts job) { return job.front().backend == "nccl"; }

// "13.0" → 13000, as CUDA counts; 0 where there is none.
int number_of(const std::string& version) {
  std::istringstream words(version);
  int major = 0;
  int minor = 0;
  char dot = '.';
  words >> major >> dot >> minor;
  return 1000 * major + 10 * minor;
}

// All devices that the ranks of a host see, by bus id. A rank may be shown some of them alone.
using Devices = std::map<std::string, DeviceFacts>;
Devices devices_of(JobFacts job, const Ranks& ranks) {
  Devices all;
  for (const int rank : ranks) {
    if (!at(job, rank).gpu.fault.empty()) continue;
    for (const DeviceFacts& device : at(job, rank).gpu.each) {
      DeviceFacts& known = all.emplace(device.bus_id, device).first->second;
      if (known.fault.empty()) known.fault = device.fault;
      if (!device.free_known) continue;
      const bool less = !known.free_known || device.free_bytes < known.free_bytes;
      if (less) known.free_bytes = device.free_bytes;
      known.free_known = true;
    }
  }
  return all;
}

// One finding for each host that has devices, said of its ranks; hosts alike are told together.
template <typename Judge>
std::vector<Finding> for_each_host(JobFacts job, const Judge& judge) {
  std::vector<Finding> findings;
  for (const Ranks& ranks : hosts_of(job)) {
    const Devices devices = devices_of(job, ranks);
    if (devices.empty()) continue;
    Finding finding = judge(ranks, devices);
    if (finding.topic.empty()) continue;
    const auto same = std::find_if(findings.begin(), findings.end(), [&](const Finding& other) {
      return other.status == finding.status && other.found == finding.found &&
             other.advice == finding.advice;
    });
    Finding& place = same != findings.end() ? *same : findings.emplace_back(std::move(finding));
    place.ranks.insert(place.ranks.end(), ranks.begin(), ranks.end());
  }
  for (Finding& finding : findings) {
    std::sort(finding.ranks.begin(), finding.ranks.end());
    if (finding.ranks.size() == job.size()) finding.ranks.clear();
  }
  return findings;
}

void warn(Finding& finding, Status status, const std::string& found, const std::string& advice) {
  finding.status = std::max(finding.status, status);
  finding.found += "; " + found;
  finding.advice += (finding.advice.empty() ? "" : " ") + advice;
}

// What CUDA's parts say of each other; empty when they fit.
void compare_versions(const GpuFacts& gpu, Finding& finding) {
  if (!gpu.cuda_built.empty() && gpu.cuda != gpu.cuda_built) {
    warn(finding, Status::kWarning, text("the program was built with CUDA ", gpu.cuda_built),
         "Another libcudart comes first; check LD_LIBRARY_PATH.");
  }
  const int served = number_of(gpu.driver_cuda);
  if (served == 0 || served >= number_of(gpu.cuda)) return;
  warn(finding, Status::kWarning,
       text("the driver serves CUDA up to ", gpu.driver_cuda, ", the program uses ", gpu.cuda),
       text("Install a driver that serves CUDA ", gpu.cuda, " (see nvidia-smi)."));
}

Finding gpu_of(const RankFacts& rank) {
  const GpuFacts& gpu = rank.gpu;
  Finding finding{.topic = "GPU"};
  const std::string libraries =
      gpu.nccl.empty() ? "" : text("CUDA ", gpu.cuda, ", NCCL ", gpu.nccl);
  if (gpu.fault.empty()) {
    finding.found = text(counted(static_cast<std::size_t>(gpu.devices), "device"), ", driver ",
                         gpu.driver.empty() ? "unknown" : gpu.driver, ", ", libraries,
                         "; this job sums with ", rank.backend);
    compare_versions(gpu, finding);
  } else if (gpu.driver.empty()) {
    finding.found = "CPUs only: no NVIDIA driver is loaded";
    finding.found += gpu.built_with_cuda ? text(". ", gpu.fault) : ", and the build has no CUDA";
  } else {
    finding.status = Status::kWarning;
    finding.found = text("CPUs only, although driver ", gpu.driver, " is loaded: ", gpu.fault);
    finding.advice = "Until this is mended, training uses the CPUs.";
    if (gpu.built_with_cuda) compare_versions(gpu, finding);
  }
  return finding;
}

// "2 x NVIDIA H100 (compute capability 9.0, 80.0 GiB, at least 79.0 GiB free: 0000:17:00.0, ...)".
std::string described(const std::vector<const DeviceFacts*>& alike) {
  const DeviceFacts& first = *alike.front();
  const DeviceFacts* tightest = nullptr;
  std::vector<std::string> places;
  places.reserve(alike.size());
  for (const DeviceFacts* device : alike) {
    places.push_back(device->bus_id);
    if (!device->free_known) continue;
    if (tightest == nullptr || device->free_bytes < tightest->free_bytes) tightest = device;
  }
  return text(alike.size(), " x ", first.name, " (compute capability ", first.capability, ", ",
              human_bytes(first.total_bytes),
              tightest == nullptr ? ""
                                  : text(alike.size() > 1 ? ", at least " : ", ",
                                         human_bytes(tightest->free_bytes), " free"),
              ": ", join(places), ")");
}

std::string described(const Devices& devices) {
  std::map<std::tuple<std::string, std::string, std::uint64_t>, std::vector<const DeviceFacts*>>
      kinds;
  for (const auto& [bus_id, device] : devices) {
    kinds[{device.name, device.capability, device.total_bytes}].push_back(&device);
  }
  std::vector<std::string> out;
  out.reserve(kinds.size());
  for (const auto& [kind, alike] : kinds) out.push_back(described(alike));
  return join(out);
}

Finding judge_devices_of(const Devices& devices, const std::string& cuda, Status graver) {
  Finding finding{.topic = "GPU devices", .found = described(devices)};
  for (const auto& [bus_id, device] : devices) {
    if (!device.fault.empty()) {
      warn(finding, graver, text(bus_id, " cannot be used: ", device.fault),
           "See who holds it (nvidia-smi), or leave it out by CUDA_VISIBLE_DEVICES.");
    } else if (number_of(cuda) >= 13000 &&
               number_of(device.capability) < number_of(kLeastCapability)) {
      warn(finding, graver, text(bus_id, " is older than CUDA ", cuda, " supports"),
           text("Use devices of compute capability ", kLeastCapability, " or above."));
    } else if (device.free_known && static_cast<double>(device.free_bytes) <
                                        kLittleFree * static_cast<double>(device.total_bytes)) {
      warn(finding, Status::kWarning,
           text(bus_id, " has ", human_bytes(device.free_bytes), " left"),
           "Other programs hold the rest; nvidia-smi names them.");
    }
  }
  return finding;
}

// Ranks of a host that would take each device.
Finding judge_ranks_of(JobFacts job, const Ranks& ranks, const Devices& devices) {
  std::map<std::string, Ranks> takers;
  Ranks without;
  for (const int rank : ranks) {
    const GpuFacts& gpu = at(job, rank).gpu;
    const bool has_one = gpu.fault.empty() && gpu.device >= 0;
    if (has_one) {
      takers[gpu.each.at(static_cast<std::size_t>(gpu.device)).bus_id].push_back(rank);
    } else {
      without.push_back(rank);
    }
  }
  const Status status = sums_on_gpus(job) ? Status::kProblem : Status::kOk;
  Finding finding{
      .topic = "GPU ranks",
      .found = text(counted(ranks.size(), "rank"), " for ", counted(devices.size(), "device"))};
  if (!without.empty()) {
    warn(finding, status, text("there is none for ", rank_list(without)),
         "See what the other findings say of its devices.");
  }
  for (const auto& [bus_id, those] : takers) {
    if (those.size() < 2) continue;
    warn(finding, status, text(rank_list(those), " would share ", bus_id),
         ranks.size() > devices.size()
             ? text("In a job on GPUs start at most one rank per device (mpirun --map-by ppr:",
                    devices.size(), ":node).")
             : "Let each rank see all devices of its host, or another one "
               "(CUDA_VISIBLE_DEVICES).");
  }
  if (sums_on_gpus(job) && takers.size() < devices.size()) {
    warn(finding, Status::kWarning,
         text(counted(devices.size() - takers.size(), "device"), " will stay idle"),
         "Start one rank per device.");
  }
  return finding;
}

// Pairs of devices of which one does not reach the other's memory. Devices that no process sees
// together are left out: nothing is known of them.
std::vector<std::string> pairs_apart(JobFacts job, const Ranks& ranks) {
  std::set<std::string> apart;
  for (const int rank : ranks) {
    const std::vector<DeviceFacts>& each = at(job, rank).gpu.each;
    for (const DeviceFacts& from : each) {
      for (const DeviceFacts& to : each) {
        const bool reached =
            std::find(from.peers.begin(), from.peers.end(), to.bus_id) != from.peers.end();
        if (from.bus_id == to.bus_id || reached) continue;
        apart.insert(
            text(std::min(from.bus_id, to.bus_id), " and ", std::max(from.bus_id, to.bus_id)));
      }
    }
  }
  return {apart.begin(), apart.end()};
}

bool sees_several(JobFacts job, const Ranks& ranks) {
  return std::any_of(ranks.begin(), ranks.end(),
                     [&](int rank) { return at(job, rank).gpu.each.size() > 1; });
}

Finding judge_peers_of(JobFacts job, const Ranks& ranks, const Devices& devices) {
  if (devices.size() < 2) return {};
  Finding finding{.topic = "GPU peers"};
  if (!sees_several(job, ranks)) {
    finding.found = "not known: each rank sees one device alone";
    finding.advice = "`nvidia-smi topo -p2p r` on that host tells.";
    return finding;
  }
  const std::vector<std::string> apart = pairs_apart(job, ranks);
  if (apart.empty()) {
    finding.found = text("all ", devices.size(), " devices reach each other's memory directly");
    return finding;
  }
  const std::size_t pairs = devices.size() * (devices.size() - 1) / 2;
  finding.found = text(apart.size(), " of ", counted(pairs, "pair"),
                       " of devices cannot reach each other's memory: ", apart.front(),
                       apart.size() > 1 ? " and others" : "");
  finding.advice =
      "Data between them goes through memory of the host, which is slower. Where the hardware "
      "could "
      "do better, the IOMMU or PCIe access control (ACS) is in the way, or a virtual machine; see "
      "`nvidia-smi topo -m`.";
  if (sums_on_gpus(job) && ranks.size() > 1) finding.status = Status::kWarning;
  return finding;
}

std::string within_hosts(JobFacts job) {
  bool asked = false;
  bool apart = false;
  bool several = false;
  for (const Ranks& ranks : hosts_of(job)) {
    several = several || ranks.size() > 1;
    asked = asked || sees_several(job, ranks);
    apart = apart || !pairs_apart(job, ranks).empty();
  }
  if (!several) return "";
  if (apart) return "through shared memory of the host where devices do not reach each other";
  return asked ? "directly between the devices of a host"
               : "directly between the devices of a host, if they reach each other";
}

std::string between_hosts(JobFacts job) {
  if (hosts_of(job).size() < 2) return "";
  for (const RankFacts& rank : job) {
    if (rank.gpu.fabrics.empty()) return "between hosts over TCP sockets";
  }
  return text("between hosts over InfiniBand or RoCE (", join(job.front().gpu.fabrics), ")");
}

std::vector<std::string> ways_guessed(JobFacts job) {
  std::vector<std::string> ways;
  for (const std::string& way : {within_hosts(job), between_hosts(job)}) {
    if (!way.empty()) ways.push_back(way);
  }
  return ways;
}

// Of the connections of all ranks; empty when NCCL's log says nothing.
std::vector<std::string> ways_told(JobFacts job) {
  std::set<std::string> ways;
  for (const RankFacts& rank : job) {
    for (const std::string& way : rank.sums.ways) ways.insert(describe_way(way));
  }
  return {ways.begin(), ways.end()};
}

}  // namespace

std::vector<Finding> judge_gpus(JobFacts job) {
  std::vector<Finding> each;
  each.reserve(job.size());
  for (const RankFacts& rank : job) each.push_back(gpu_of(rank));
  return merge(each);
}

std::vector<Finding> judge_devices(JobFacts job) {
  const Status graver = sums_on_gpus(job) ? Status::kProblem : Status::kWarning;
  std::vector<Finding> findings =
      for_each_host(job, [&](const Ranks& ranks, const Devices& devices) {
        return judge_devices_of(devices, at(job, ranks.front()).gpu.cuda, graver);
      });
  std::set<std::string> kinds;
  for (const RankFacts& rank : job) {
    for (const DeviceFacts& device : rank.gpu.each) kinds.insert(device.name);
  }
  if (kinds.size() > 1 && sums_on_gpus(job)) {
    warn(findings.front(), Status::kWarning, "devices of several kinds in one job",
         "All wait for the slowest: use one kind.");
  }
  return findings;
}

std::vector<Finding> judge_gpu_ranks(JobFacts job) {
  return for_each_host(job, [&](const Ranks& ranks, const Devices& devices) {
    return judge_ranks_of(job, ranks, devices);
  });
}

std::vector<Finding> judge_peers(JobFacts job) {
  return for_each_host(job, [&](const Ranks& ranks, const Devices& devices) {
    return judge_peers_of(job, ranks, devices);
  });
}

std::vector<Finding> judge_transport(JobFacts job) {
  if (!sums_on_gpus(job) || job.size() == 1) return {};
  Finding finding{.topic = "NCCL"};
  if (const std::vector<std::string> told = ways_told(job); !told.empty()) {
    finding.found = "moves data " + join(told);
  } else {
    finding.found = "likely moves data " + join(ways_guessed(job));
    finding.advice = "Its log, which tells, was not ours to read; see it with NCCL_DEBUG=INFO.";
  }
  const bool sockets = finding.found.find("TCP sockets") != std::string::npos;
  const bool has_fabric = std::any_of(
      job.begin(), job.end(), [](const RankFacts& rank) { return !rank.gpu.fabrics.empty(); });
  if (sockets && has_fabric) {
    warn(finding, Status::kWarning, "some hosts have no active InfiniBand or RoCE port",
         "See `ibstat` and /dev/infiniband on the ranks' hosts and in their containers.");
  }
  return {finding};
}

}  // namespace atelier::doctor
