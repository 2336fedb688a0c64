// Memory that the ranks of one host all map: an MPI-3 shared window to which each rank adds a part.
// Thread safety: construction and close() on the communicator's thread; the memory is plain.
#pragma once

#include <cstddef>
#include <vector>

#include <mpi.h>

namespace atelier::comm {

class SharedWindow {
 public:
  static constexpr std::size_t kAlign = 128;  ///< two cache lines: the prefetcher loads pairs

  /// Adds `bytes` of this rank (they may differ between ranks), zeroed.
  /// Collective: all ranks of `host`, may block. Throws: CommError.
  SharedWindow(MPI_Comm host, std::size_t bytes);

  /// The part of a rank of this host, kAlign-aligned.
  [[nodiscard]] std::byte* part(int local_rank) const {
    return parts_[static_cast<std::size_t>(local_rank)];
  }
  /// Frees the memory. Collective: all ranks of the host; without it the process's end frees it.
  void close();

 private:
  MPI_Win window_ = MPI_WIN_NULL;
  std::vector<std::byte*> parts_;
};

/// Bytes that windows of this host may still take: those free in /dev/shm, where MPI puts them and
/// which containers keep small, less a `reserve`; unlimited where there is none. A window that is
/// too big for it kills a process when it is written.
[[nodiscard]] std::size_t free_shared_memory(std::size_t reserve = std::size_t{8} << 20);

}  // namespace atelier::comm
