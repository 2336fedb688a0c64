#include "launch/doctor/memory.h"

#include <sstream>

#include <sys/statvfs.h>

#include "launch/doctor/control_groups.h"
#include "launch/doctor/small_file.h"

namespace atelier::doctor {
namespace {

// "24091140 kB" → bytes.
std::uint64_t bytes_of(const std::string& kibibytes) {
  std::istringstream number(kibibytes);
  std::uint64_t value = 0;
  return number >> value ? value * 1024 : 0;
}

}  // namespace

MemoryFacts probe_memory(const Path& root) {
  const std::string meminfo = read_small_file(root / "proc/meminfo");
  MemoryFacts facts{.total_bytes = bytes_of(value_of(meminfo, "MemTotal")),
                    .available_bytes = bytes_of(value_of(meminfo, "MemAvailable")),
                    .group_limit_bytes = read_group_limits(root).memory_bytes};
  struct statvfs space {};
  if (::statvfs((root / "dev/shm").c_str(), &space) == 0) {
    facts.has_shared = true;
    facts.shared_total_bytes = std::uint64_t{space.f_blocks} * space.f_frsize;
    facts.shared_free_bytes = std::uint64_t{space.f_bavail} * space.f_frsize;
  }
  return facts;
}

}  // namespace atelier::doctor
