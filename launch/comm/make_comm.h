// Chooses the communicator of the job: under mpirun NCCL where every rank has a GPU of its own,
// else MPI; without it the process alone. Thread safety: called once, by main's thread.
#pragma once

#include <cstdint>
#include <memory>

#include "launch/comm/host_comm.h"
#include "launch/comm/mpi_session.h"

namespace atelier::comm {

enum class Backend : std::uint8_t { kAuto, kSelf, kMpi, kNccl };

/// "auto", "self", "mpi" or "nccl". Throws: ConfigError naming these.
[[nodiscard]] Backend parse_backend(std::string_view name);

struct CommOptions {
  Backend backend = Backend::kAuto;
  std::chrono::milliseconds timeout = kDefaultTimeout;
  bool share_device = false;  ///< nccl: several ranks may have one GPU, for tests; slow
};

/// Lifetime: `session` outlives the result. Collective in an active session: all ranks.
/// Throws: CommError; RefusedError and DeviceError when the backend cannot work here.
[[nodiscard]] std::unique_ptr<Comm> make_comm(const MpiSession& session,
                                              const CommOptions& options = {});

}  // namespace atelier::comm
