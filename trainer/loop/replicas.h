// Comparing the replicas of a running training (checkpoints/replicas.h): every so many steps and
// before each save, so that no checkpoint ever holds a state that the ranks do not share. Ranks
// that are in a minority get the others' state; where nobody knows who is right, the run ends.
// Thread safety: one thread.
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoints/replicas.h"
#include "launch/base/log.h"
#include "monitoring/metrics.h"
#include "trainer/engine/engine.h"
#include "trainer/loop/config.h"

namespace atelier::loop {

/// All that training keeps: weights, averages, moments. Lifetime: the engine's.
[[nodiscard]] std::vector<checkpoints::ReplicaPart> replica_parts(engine::Engine& engine);

/// Collective: all ranks. Throws: DeviceError on all ranks when replicas differ and there is no
/// majority, or healing is not wanted; CommError.
void check_replicas(engine::Engine& engine, comm::Comm& comm, Log& log, ReplicaPolicy policy,
                    std::int64_t step, monitoring::Metrics& metrics);

}  // namespace atelier::loop
