// What watching costs the loop: metrics and their records, the flight recorder, the comparison of
// replicas, each timed by itself and set against a step. Thread safety: one thread per rank.
#pragma once

#include <cstdint>
#include <string>

#include "launch/base/file_system.h"
#include "launch/base/log.h"
#include "launch/comm/comm.h"
#include "trainer/loop/config.h"
#include "trainer/networks/geometry.h"

namespace atelier::bench {

struct WatchingBenchOptions {
  std::string preset;  ///< for the report
  loop::RunConfig config;
  networks::Geometry geometry;
  std::int64_t steps = 30;  ///< timed
  Path folder;              ///< of a run that is only pretended; must not exist
};

/// Returns one JSON document, on rank 0: nanoseconds per step of each part, and their share of a
/// step. Threads of exporter and watchdog are not in it (tests/bench/loop/overhead.py).
/// Collective: all ranks. Throws: CommError, IoError, OutputError.
[[nodiscard]] std::string watching_bench(const WatchingBenchOptions& options, comm::Comm& comm,
                                         FileSystem& files, Log& log);

/// The same document for a reader at a terminal.
[[nodiscard]] std::string watching_bench_text(const std::string& json);

}  // namespace atelier::bench
