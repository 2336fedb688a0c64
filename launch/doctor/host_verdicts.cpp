// Cores and memory: what the ranks of one host share.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "launch/base/text.h"
#include "launch/doctor/verdicts.h"

namespace atelier::doctor {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
constexpr std::uint64_t kLeastMemoryPerRank = 1024 * kMiB;
constexpr std::uint64_t kSharedPerRank = 64 * kMiB;  // gradients of 16 million parameters

using Ranks = std::vector<int>;

const RankFacts& at(JobFacts job, int rank) { return job[static_cast<std::size_t>(rank)]; }

// The cores that the ranks of one host may use.
struct HostCores {
  Ranks ranks = {};
  std::vector<int> together = {};  // of all ranks
  std::size_t reachable = 0;       // how many the host would give them unbound
  std::size_t fewest = 0;          // of one rank
  std::size_t most = 0;
  double group_cores = 0;  // by control groups; 0: no limit
  Ranks crowded = {};      // ranks that were bound to fewer cores than they are
  std::size_t crowded_cores = 0;
};

HostCores cores_of(JobFacts job, const Ranks& ranks) {
  HostCores host{.ranks = ranks, .fewest = at(job, ranks.front()).processor.cores.size()};
  std::set<int> together;
  std::map<std::vector<int>, Ranks> bound_to;
  for (const int rank : ranks) {
    const ProcessorFacts& facts = at(job, rank).processor;
    together.insert(facts.cores.begin(), facts.cores.end());
    bound_to[facts.cores].push_back(rank);
    host.fewest = std::min(host.fewest, facts.cores.size());
    host.most = std::max(host.most, facts.cores.size());
    host.reachable = std::max(host.reachable, facts.reachable.size());
    host.group_cores = facts.group_cores;
  }
  const auto note_crowd = [&host](const Ranks& those, std::size_t cores) {
    if (those.size() <= cores || !host.crowded.empty()) return;
    host.crowded = those;
    host.crowded_cores = cores;
  };
  for (const auto& [cores, those] : bound_to) note_crowd(those, cores.size());
  note_crowd(ranks, together.size());
  host.together.assign(together.begin(), together.end());
  return host;
}

std::string described(const HostCores& host, int hosts) {
  std::string found =
      text(hosts > 1 ? "per host " : "", counted(host.ranks.size(), "rank"), " on ",
           counted(host.together.size(), "core"), " (", number_list(host.together), ")");
  if (host.ranks.size() == 1) return found;
  found += text(", ", host.fewest);
  if (host.fewest != host.most) found += text(" to ", host.most);
  return found + " to each rank";
}

Finding judge_host_cores(const HostCores& host, int hosts) {
  Finding finding{.topic = "cores", .found = described(host, hosts)};
  const auto warn = [&finding](const std::string& found, const std::string& advice) {
    finding.status = Status::kWarning;
    finding.found += "; " + found;
    finding.advice = advice;
  };
  const std::size_t ranks = host.ranks.size();
  if (host.together.empty()) {
    finding.found = "the kernel does not tell";
  } else if (ranks > host.reachable) {
    warn("more ranks than cores",
         text("Start at most ", counted(host.reachable, "rank"),
              " on a host like this: those that wait for a core make all others wait."));
  } else if (!host.crowded.empty()) {
    warn(text(rank_list(host.crowded), " share ", counted(host.crowded_cores, "core")),
         "Let mpirun spread them (--map-by core --bind-to core) or not bind them (--bind-to "
         "none).");
  } else if (host.group_cores > 0 && host.group_cores < static_cast<double>(ranks)) {
    warn(text("the control group allows ", fixed(host.group_cores, 1), " cores' worth of time"),
         "Ask for more CPU time (docker --cpus, a pod's limits), or start fewer ranks.");
  } else if (host.most == 1 && ranks < host.reachable) {
    warn(text("bound, while ", counted(host.reachable - ranks, "core"), " cannot be used"),
         "train.threads above 1 needs mpirun --bind-to none or --map-by slot:PE=N; else start "
         "more ranks.");
  }
  return finding;
}

// The host of which `free_of` says least, by its first rank.
int tightest(JobFacts job, std::uint64_t (*free_of)(const RankFacts&)) {
  int found = 0;
  for (const Ranks& host : hosts_of(job)) {
    if (free_of(at(job, host.front())) < free_of(at(job, found))) found = host.front();
  }
  return found;
}

std::uint64_t available_memory(const RankFacts& rank) {
  const MemoryFacts& memory = rank.memory;
  return memory.group_limit_bytes > 0 ? std::min(memory.available_bytes, memory.group_limit_bytes)
                                      : memory.available_bytes;
}

// Slots of the communicator (launch/comm/README.md) and Open MPI's own segments.
std::uint64_t shared_at_start(std::uint64_t ranks) {
  return 2 * (ranks + 1) * kMiB + 4 * ranks * kMiB;
}

std::uint64_t free_shared(const RankFacts& rank) { return rank.memory.shared_free_bytes; }

std::uint64_t ranks_beside(JobFacts job, int rank) {
  const auto is_beside = [&](const RankFacts& other) {
    return other.machine == at(job, rank).machine;
  };
  return static_cast<std::uint64_t>(std::count_if(job.begin(), job.end(), is_beside));
}

std::string named(JobFacts job, int rank) {
  return hosts_of(job).size() > 1 ? text("least on ", at(job, rank).host, ": ") : "";
}

}  // namespace

std::vector<Ranks> hosts_of(JobFacts job) {
  std::vector<Ranks> hosts;
  std::map<std::string, std::size_t> known;
  for (std::size_t rank = 0; rank < job.size(); ++rank) {
    const auto [place, is_new] = known.emplace(job[rank].machine, hosts.size());
    if (is_new) hosts.emplace_back();
    hosts[place->second].push_back(static_cast<int>(rank));
  }
  return hosts;
}

std::vector<Finding> judge_cores(JobFacts job) {
  std::vector<Finding> each(job.size());
  for (const Ranks& ranks : hosts_of(job)) {
    const Finding finding = judge_host_cores(cores_of(job, ranks), job.front().hosts);
    for (const int rank : ranks) each[static_cast<std::size_t>(rank)] = finding;
  }
  return merge(each);
}

std::vector<Finding> judge_memory(JobFacts job) {
  const int rank = tightest(job, available_memory);
  const MemoryFacts& memory = at(job, rank).memory;
  if (memory.total_bytes == 0) return {{.topic = "memory", .found = "the kernel does not tell"}};
  const std::uint64_t available = available_memory(at(job, rank));
  Finding finding{.topic = "memory",
                  .found = text(named(job, rank), human_bytes(available), " available of ",
                                human_bytes(memory.total_bytes))};
  if (memory.group_limit_bytes > 0 && memory.group_limit_bytes < memory.total_bytes) {
    finding.found += text("; the control group allows ", human_bytes(memory.group_limit_bytes));
  }
  const std::uint64_t ranks = ranks_beside(job, rank);
  if (available < ranks * kLeastMemoryPerRank) {
    finding.status = Status::kWarning;
    finding.found += text("; little for ", counted(ranks, "rank"));
    finding.advice =
        "Start fewer ranks or ask for more memory; `atelier train ... --dry-run` says what a run "
        "takes.";
  }
  return {finding};
}

std::vector<Finding> judge_shared_memory(JobFacts job) {
  const int rank = tightest(job, free_shared);
  const MemoryFacts& memory = at(job, rank).memory;
  if (!memory.has_shared) {
    return {{.topic = "/dev/shm",
             .status = Status::kWarning,
             .found = named(job, rank) + "it is missing",
             .advice = "Mount a tmpfs there: the ranks of a host share memory through it."}};
  }
  Finding finding{.topic = "/dev/shm",
                  .found = text(named(job, rank), human_bytes(memory.shared_free_bytes),
                                " free of ", human_bytes(memory.shared_total_bytes))};
  // A job under mpirun has taken its start already; a process alone asks for one of two ranks.
  const bool is_alone = job.size() == 1;
  const std::uint64_t ranks = is_alone ? 2 : ranks_beside(job, rank);
  const std::uint64_t start = is_alone ? shared_at_start(ranks) : 0;
  if (memory.shared_free_bytes < start + ranks * kSharedPerRank) {
    finding.status = Status::kWarning;
    finding.found +=
        memory.shared_free_bytes < start
            ? text("; a job of ", ranks, " ranks needs ", human_bytes(start), " to start")
            : text("; gradients of ", ranks, " ranks may not fit and are then copied, slower");
    finding.advice =
        "Give the container more: docker run --shm-size=1g or --ipc=host; in a pod an emptyDir of "
        "medium Memory.";
  }
  return {finding};
}

}  // namespace atelier::doctor
