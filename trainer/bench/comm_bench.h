// How fast the collectives of this job are. Thread safety: as Comm.
#pragma once

#include <string>

#include "launch/comm/comm.h"

namespace atelier::bench {

/// Times all_reduce of 4 B to 32 MiB, in memory of the caller and in memory of Comm::allocate, each
/// sum verified first. Returns one JSON document, on rank 0.
/// Collective: all ranks. Throws: CommError; DeviceError when a sum is wrong.
[[nodiscard]] std::string comm_bench(comm::Comm& comm);

[[nodiscard]] std::string comm_bench_text(const std::string& json);

}  // namespace atelier::bench
