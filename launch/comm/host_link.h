// Carries slots between hosts. The leader (lowest rank) of each host sends the slot of each of its
// ranks to the other leaders as soon as that rank has arrived, receives theirs into the shared
// slots, and raises the boards of the remote ranks on their behalf. Calls never block: who waits
// polls, so that a deadline can pass. Thread safety: the leader's thread.
#pragma once

#include <cstdint>
#include <vector>

#include <mpi.h>

#include "launch/comm/shared_slots.h"

namespace atelier::comm {

class HostLink {
 public:
  /// `host_of[rank]` is a number per host, counted from 0 in the order of the leaders.
  /// Lifetime: `slots` outlives the link.
  HostLink(MPI_Comm comm, SharedSlots& slots, const std::vector<int>& host_of, int my_host);
  ~HostLink();
  HostLink(const HostLink&) = delete;
  HostLink& operator=(const HostLink&) = delete;

  /// Starts exchange `ticket`. Requires: the one before is complete.
  void begin(std::uint64_t ticket);
  /// Moves what can be moved; true once all has been sent and received. Throws: CommError.
  [[nodiscard]] bool progress();

 private:
  struct Receive {
    int rank;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  void send_slot(int rank);

  MPI_Comm comm_;
  SharedSlots& slots_;
  std::vector<int> own_ranks_;
  std::vector<int> other_leaders_;
  std::vector<int> leader_of_;  ///< by rank
  std::uint64_t ticket_ = 0;
  std::vector<int> unsent_;
  std::vector<MPI_Request> sends_;
  std::vector<Receive> receives_;
};

}  // namespace atelier::comm
