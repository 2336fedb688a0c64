// Collectives on host memory between the ranks mpirun started. The reductions are ours: shared
// memory within a host, non-blocking point-to-point between the leaders of hosts, each element
// summed in the order of ranks, so that the bits do not depend on where ranks run. MPI's own
// blocking collectives can be neither timed out nor cancelled; they serve at construction only.
// Thread safety: as Comm.
#pragma once

#include <cstddef>
#include <limits>
#include <memory>

#include "launch/comm/host_comm.h"
#include "launch/comm/mpi_session.h"

namespace atelier::comm {

struct MpiCommOptions {
  std::chrono::milliseconds timeout = kDefaultTimeout;
  std::size_t slot_bytes = std::size_t{1} << 20;  ///< of a chunk; a host shares 2 × world of them
  /// allocate() takes no more than this of a host's shared memory, nor more than is free there;
  /// beyond it gives ordinary memory, which collectives copy.
  std::size_t most_shared_bytes = std::numeric_limits<std::size_t>::max();
  int ranks_per_host = 0;  ///< > 0: treat so many consecutive ranks as a host of their own (tests)
};

class MpiComm final : public HostComm {
 public:
  /// Collective: all ranks, may block. Requires: an active session, which outlives it.
  /// Throws: CommError.
  MpiComm(const MpiSession& session, const MpiCommOptions& options);
  ~MpiComm() override;
  MpiComm(const MpiComm&) = delete;
  MpiComm& operator=(const MpiComm&) = delete;

  [[nodiscard]] int rank() const override;
  [[nodiscard]] int world() const override;
  [[nodiscard]] int local_rank() const override;
  [[nodiscard]] int hosts() const override;
  [[nodiscard]] int host() const;  ///< number of this rank's host
  [[nodiscard]] std::string_view backend() const override { return "mpi"; }
  void close() override;
  [[noreturn]] void abort(std::string_view reason, int exit_code) override;

 private:
  void exchange(const Task& task) override;
  std::byte* provide(std::size_t bytes) override;
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace atelier::comm
