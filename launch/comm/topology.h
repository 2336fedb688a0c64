// Which ranks of a job share a host. Thread safety: values.
#pragma once

#include <vector>

#include <mpi.h>

namespace atelier::comm {

struct Topology {
  int rank = 0;
  int world = 1;
  int local_rank = 0;
  int local_size = 1;
  int hosts = 1;
  int my_host = 0;
  std::vector<int> host_of;      ///< by rank; hosts are counted in the order of their lowest ranks
  std::vector<int> local_ranks;  ///< of this host, ascending

  [[nodiscard]] bool is_local(int other) const {
    return host_of[static_cast<std::size_t>(other)] == my_host;
  }
};

/// Requires: `host` holds those ranks of `job` that share memory with this one, in the same order.
/// Collective: all ranks of `job`, may block. Throws: CommError.
[[nodiscard]] Topology find_topology(MPI_Comm job, MPI_Comm host);

}  // namespace atelier::comm
