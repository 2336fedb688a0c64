#include "launch/comm/topology.h"

#include <algorithm>

#include "launch/comm/mpi_session.h"

namespace atelier::comm {

Topology find_topology(MPI_Comm job, MPI_Comm host) {
  Topology found;
  check_mpi(MPI_Comm_rank(job, &found.rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(job, &found.world), "MPI_Comm_size");
  check_mpi(MPI_Comm_rank(host, &found.local_rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(host, &found.local_size), "MPI_Comm_size");
  int leader = found.rank;
  check_mpi(MPI_Bcast(&leader, 1, MPI_INT, 0, host), "MPI_Bcast");
  std::vector<int> leader_of(static_cast<std::size_t>(found.world));
  check_mpi(MPI_Allgather(&leader, 1, MPI_INT, leader_of.data(), 1, MPI_INT, job), "MPI_Allgather");
  std::vector<int> leaders = leader_of;
  std::sort(leaders.begin(), leaders.end());
  leaders.erase(std::unique(leaders.begin(), leaders.end()), leaders.end());
  found.hosts = static_cast<int>(leaders.size());
  for (int other = 0; other < found.world; ++other) {
    const int its_leader = leader_of[static_cast<std::size_t>(other)];
    const auto place = std::lower_bound(leaders.begin(), leaders.end(), its_leader);
    found.host_of.push_back(static_cast<int>(place - leaders.begin()));
    if (its_leader == leader) {
      found.local_ranks.push_back(other);
    }
  }
  found.my_host = found.host_of[static_cast<std::size_t>(found.rank)];
  return found;
}

}  // namespace atelier::comm
