// What must hold before a run starts: of its configuration and dataset, among the ranks, and
// against the run it resumes. Each says what differs and what to do. Thread safety: pure functions,
// but for those that take a Comm.
#pragma once

#include "data/dataset.h"
#include "launch/comm/comm.h"
#include "trainer/loop/request.h"
#include "trainer/loop/state.h"

namespace atelier::loop {

/// Batch and images suffice for so many ranks. Throws: ConfigError, DataError.
void require_trainable(const RunConfig& config, const data::Dataset& dataset, int world);

/// Ranks that were started for different runs must not train together. Collective: all ranks.
/// Throws: ConfigError naming rank and item.
void require_same_run(comm::Comm& comm, const TrainRequest& request, const data::Dataset& dataset);

/// The run that `state` was saved by may go on with this configuration and dataset.
/// Throws: ConfigError with every difference.
void require_compatible(const RunState& state, const TrainRequest& request,
                        const data::Dataset& dataset);

}  // namespace atelier::loop
