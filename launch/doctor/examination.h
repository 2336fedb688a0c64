// The examination of a job: every rank looks at itself and its host, all of them at their
// communicator and clocks; then each knows all and judges alike. Thread safety: as Comm.
#pragma once

#include <functional>
#include <optional>

#include "launch/base/clock.h"
#include "launch/base/file_system.h"
#include "launch/comm/comm.h"
#include "launch/comm/self_test.h"
#include "launch/doctor/nccl_log.h"
#include "launch/doctor/report.h"

namespace atelier::doctor {

struct ExaminationOptions {
  std::optional<Path> data = {};  ///< folder that training would read from
  std::optional<Path> run = {};   ///< folder that training would write to
  int port = 0;                   ///< of the exporter of a host's first rank; the next, the next
  BuildFacts build = {};
  const NcclLog* nccl_log = nullptr;  ///< made before the communicator
};

/// What `test` measured, or why it threw DeviceError: a wrong sum is raised on all ranks alike, so
/// that they can go on together. Throws: what `test` throws else.
[[nodiscard]] SumFacts sum_facts(const std::function<comm::SelfTest()>& test);

/// Takes a second, and some more for each folder: the first rank of each host measures its disk.
/// What a probe cannot do becomes a finding. The same report on every rank.
/// Collective: all ranks. Throws: CommError.
[[nodiscard]] Report examine(comm::Comm& comm, const Clock& clock,
                             const ExaminationOptions& options);

}  // namespace atelier::doctor
