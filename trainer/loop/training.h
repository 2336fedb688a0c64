// A training run from first to last: open the dataset and the run folder, agree with the other
// ranks, resume or start, and loop: fetch, step, observe, and on schedule evaluate, draw, save,
// stop. The same on one rank and on many. Thread safety: one thread, that of the communicator.
#pragma once

#include <string>

#include "launch/base/clock.h"
#include "launch/base/error.h"
#include "launch/base/file_system.h"
#include "launch/base/log.h"
#include "launch/comm/comm.h"
#include "trainer/loop/request.h"
#include "trainer/loop/stop.h"

namespace atelier::loop {

/// What a run works with. Lifetime: all outlive the call.
struct Services {
  comm::Comm& comm;
  FileSystem& files;
  const Clock& clock;
  ProcessLog& log;
  const StopSignals& stop;
};

/// kDone, or kStopped when asked to stop and saved. Collective: all ranks. Throws: any Error.
[[nodiscard]] ExitCode train(const TrainRequest& request, const Services& services);

/// What `train` on `world` ranks would do: networks, memory, files. Creates nothing. Throws: what
/// `train` would refuse the request with before its first step, but for what the state of a resumed
/// run would tell.
[[nodiscard]] std::string plan(const TrainRequest& request, FileSystem& files, int world);

}  // namespace atelier::loop
