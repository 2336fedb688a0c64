// What must hold before a run starts: of its configuration and dataset, among the ranks, and
// against the run it resumes. Each says what differs and what to do. Thread safety: pure functions,
// but for those that take a Comm.
#pragma once

#include <chrono>
#include <string>

#include "data/dataset.h"
#include "launch/comm/comm.h"
#include "trainer/loop/request.h"
#include "trainer/loop/state.h"
#include "trainer/objectives/objective.h"

namespace atelier::loop {

/// Batch and images suffice for so many ranks. Throws: ConfigError, DataError.
void require_trainable(const RunConfig& config, const data::Dataset& dataset, int world);

/// Ranks that were started for different runs must not train together. Collective: all ranks.
/// Throws: ConfigError naming rank and item.
void require_same_run(comm::Comm& comm, const TrainRequest& request, const data::Dataset& dataset);

/// All ranks built the same nets. Collective: all ranks. Throws: ConfigError naming rank and
/// tensor.
void require_same_model(comm::Comm& comm, const objectives::Objective& objective);

/// All ranks see the run.json that rank 0 has just written: the folder is shared between hosts.
/// A network file system may take a while to show it: `delay` at most.
/// Collective: all ranks. Throws: RefusedError naming the ranks that do not.
void require_shared_folder(comm::Comm& comm, FileSystem& files, const RunPaths& paths,
                           const std::string& identity,
                           std::chrono::milliseconds delay = std::chrono::seconds(10));

/// The run that `state` was saved by may go on with this configuration and dataset.
/// Throws: ConfigError with every difference.
void require_compatible(const RunState& state, const TrainRequest& request,
                        const data::Dataset& dataset);

}  // namespace atelier::loop
