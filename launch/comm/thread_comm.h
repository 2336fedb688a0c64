// Ranks as threads of one process: what the unit tests of everything parallel run on. Each rank
// copies its input into memory of the group, waits for the others on a condition variable, and
// computes its own output in rank order, so that results equal those of the MPI backend bit for
// bit. A rank that fails or ends wakes the others at once with its name.
// Thread safety: a group may be used by all its ranks at once; each Comm belongs to one of them.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "launch/comm/comm.h"

namespace atelier::comm {

class ThreadGroup {
 public:
  explicit ThreadGroup(int world);
  ~ThreadGroup();  ///< Requires: no rank is inside a call.
  ThreadGroup(const ThreadGroup&) = delete;
  ThreadGroup& operator=(const ThreadGroup&) = delete;
  /// Lifetime: of the group.
  [[nodiscard]] Comm& comm(int rank);
  /// Makes the calls of all other ranks, waiting or to come, throw CommError with this reason.
  void fail(int rank, std::string_view reason);
  /// Says that `rank` makes no call any more: whoever waits for it gets CommError at once.
  void leave(int rank);

 private:
  class Hub;
  class RankComm;
  std::unique_ptr<Hub> hub_;
  std::vector<std::unique_ptr<RankComm>> comms_;
};

/// Runs `body` on `world` threads, one per rank, and rethrows the first exception thrown on any.
void run_ranks(int world, const std::function<void(Comm&)>& body);

}  // namespace atelier::comm
