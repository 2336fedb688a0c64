// Memory of a host: how much, how much is free, how much of it this job may take, and the room in
// /dev/shm through which the ranks of a host see each other's data. Thread safety: pure functions.
#pragma once

#include <cstdint>

#include "launch/base/file_system.h"

namespace atelier::doctor {

/// Units: bytes.
struct MemoryFacts {
  std::uint64_t total_bytes = 0;        ///< 0: unknown
  std::uint64_t available_bytes = 0;    ///< without swapping
  std::uint64_t group_limit_bytes = 0;  ///< of the control group; 0: no limit
  bool has_shared = false;              ///< whether there is a /dev/shm
  std::uint64_t shared_total_bytes = 0;
  std::uint64_t shared_free_bytes = 0;
};

/// `root` stands for "/"; what cannot be read stays 0.
[[nodiscard]] MemoryFacts probe_memory(const Path& root = "/");

}  // namespace atelier::doctor
