// How fast a training step is here, without data, monitoring and checkpoints around it.
// Thread safety: one thread per rank.
#pragma once

#include <cstdint>
#include <string>

#include "launch/base/file_system.h"
#include "launch/comm/comm.h"
#include "trainer/loop/config.h"
#include "trainer/networks/geometry.h"

namespace atelier::bench {

struct StepBenchOptions {
  std::string preset;  ///< for the report
  loop::RunConfig config;
  networks::Geometry geometry;
  std::int64_t steps = 30;  ///< timed, after 10 whose losses are reported
  bool bare = false;        ///< take turns with the bare loop; one rank only
  Path inputs = {};         ///< where to leave weights and inputs for a peer; empty: nowhere
};

/// Trains on made-up images. Returns one JSON document, on rank 0; images per second count the real
/// images of all ranks, from bytes to updated weights. Collective: all ranks. Throws: CommError,
/// IoError, DeviceError when a value is not finite, RefusedError for a bare loop on several ranks.
[[nodiscard]] std::string step_bench(const StepBenchOptions& options, comm::Comm& comm,
                                     FileSystem& files);

/// The same document for a reader at a terminal.
[[nodiscard]] std::string step_bench_text(const std::string& json);

}  // namespace atelier::bench
