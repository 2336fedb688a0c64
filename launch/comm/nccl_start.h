// What ranks agree on before NCCL starts: the same libraries, and a device for each.
// Thread safety: one thread.
#pragma once

#include "launch/comm/mpi_comm.h"
#include "launch/comm/nccl.h"

namespace atelier::comm {

struct DeviceWish {
  int device = -1;     ///< -1: usual_device
  bool share = false;  ///< several ranks may have one
};

struct DeviceChoice {
  int device = 0;
  bool shared = false;  ///< some two ranks of the job have one device, not always this one
};

/// The device that the `local_rank`-th rank of a host takes of the `devices` it sees; -1: there is
/// none. Where each rank sees all devices of its host it is that of its number; where the launcher
/// shows each rank its own alone (as Slurm does), that one.
[[nodiscard]] int usual_device(int local_rank, int devices);

/// The device of this rank. Collective: all ranks; all come to the same verdict. Throws:
/// RefusedError naming a rank without a device, or two that would share one; DeviceError;
/// CommError.
[[nodiscard]] DeviceChoice choose_device(MpiComm& host, const CudaApi& cuda,
                                         const DeviceWish& wish);

/// Whether choose_device would find one for each rank; a rank whose driver fails has none.
/// Collective: all ranks; all come to the same verdict. Throws: DeviceError; CommError.
[[nodiscard]] bool each_rank_has_a_device(MpiComm& host, const CudaApi& cuda);

/// Makes NCCL take each rank for a host of its own, which is how it lets them share a device: they
/// then talk through sockets. Sets variables of the environment that are not set yet. Requires: no
/// call of NCCL before it in this process; no other thread reads the environment.
void tell_ranks_apart(const MpiComm& host);

/// Throws: ConfigError naming the library whose version differs and the rank; DeviceError when the
/// library loaded is not the one compiled against; CommError. Collective: all ranks.
void require_same_libraries(MpiComm& host, const DeviceApis& apis);

}  // namespace atelier::comm
