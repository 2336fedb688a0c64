#include "launch/doctor/control_groups.h"

#include <algorithm>
#include <functional>
#include <sstream>

#include "launch/doctor/small_file.h"

namespace atelier::doctor {
namespace {

// Version 1 says "no limit" by a number near 2^63.
constexpr double kNoLimit = 1e18;

template <typename Value>
void tighten(Value& limit, Value other) {
  if (other > 0) limit = limit > 0 ? std::min(limit, other) : other;
}

double number_in(const Path& file) {
  std::istringstream content(read_small_file(file));
  double value = 0;
  const bool is_limit = content >> value && value > 0 && value < kNoLimit;
  return is_limit ? value : 0;  // "max" is no number, and -1 means the same
}

// Calls `visit` for the group's folder and all above it. In a container the path may be that of the
// host and not be there; the walk then ends at the container's own group.
void walk_up(const Path& mount, Path group, const std::function<void(const Path&)>& visit) {
  for (group = group.relative_path(); !group.empty(); group = group.parent_path()) {
    visit(mount / group);
  }
  visit(mount);
}

void read_version_2(const Path& folder, GroupLimits& limits) {
  tighten(limits.memory_bytes, static_cast<std::uint64_t>(number_in(folder / "memory.max")));
  std::istringstream cpu(read_small_file(folder / "cpu.max"));
  double quota = 0;
  double period = 0;
  if (cpu >> quota >> period && period > 0) tighten(limits.cores, quota / period);
}

void read_version_1(const Path& folder, const std::string& controller, GroupLimits& limits) {
  if (controller == "memory") {
    const double bytes = number_in(folder / "memory.limit_in_bytes");
    tighten(limits.memory_bytes, static_cast<std::uint64_t>(bytes));
  }
  if (controller == "cpu") {
    const double period = number_in(folder / "cpu.cfs_period_us");
    if (period > 0) tighten(limits.cores, number_in(folder / "cpu.cfs_quota_us") / period);
  }
}

}  // namespace

GroupLimits read_group_limits(const Path& root) {
  GroupLimits limits;
  const Path mounts = root / "sys/fs/cgroup";
  std::istringstream groups(read_small_file(root / "proc/self/cgroup"));
  for (std::string line; std::getline(groups, line);) {  // number:controller,controller:path
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string path = line.substr(second + 1);
    std::istringstream controllers(line.substr(first + 1, second - first - 1));
    if (second == first + 1) {
      walk_up(mounts, path, [&](const Path& folder) { read_version_2(folder, limits); });
    }
    for (std::string controller; std::getline(controllers, controller, ',');) {
      walk_up(mounts / controller, path,
              [&](const Path& folder) { read_version_1(folder, controller, limits); });
    }
  }
  return limits;
}

}  // namespace atelier::doctor
