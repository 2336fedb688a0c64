// What Linux control groups (version 1 or 2) leave to this process: containers and batch systems
// limit jobs in them, and nothing else tells. Thread safety: pure functions.
#pragma once

#include <cstdint>

#include "launch/base/file_system.h"

namespace atelier::doctor {

struct GroupLimits {
  double cores = 0;                ///< cores' worth of time; 0: no limit
  std::uint64_t memory_bytes = 0;  ///< 0: no limit
};

/// The tightest limits of this process's groups and of those above them. `root` stands for "/".
[[nodiscard]] GroupLimits read_group_limits(const Path& root);

}  // namespace atelier::doctor
