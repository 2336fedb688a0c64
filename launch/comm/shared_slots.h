// Where the ranks of one host meet: a shared window with, for each rank of the job, a board of
// counters and two slots, and two more for results. A chunk of a collective is one exchange:
// each rank writes its slot and raises `arrived` to the exchange's ticket (1, 2, ...); readers wait
// for that. Exchange t uses slot t % 2: a rank that arrived at t - 1 is done reading t - 2, so the
// slot is free again. Thread safety: one thread per rank; ranks synchronise through the boards
// alone.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <mpi.h>

#include "launch/comm/call.h"
#include "launch/comm/shared_window.h"

namespace atelier::comm {

/// Counters of one rank, written by it (or by its host's leader on its behalf).
struct alignas(128) Board {
  std::atomic<std::uint64_t> arrived;  ///< ticket of the last exchange whose slot is readable
  std::atomic<std::uint64_t> reduced;  ///< ticket of the last exchange whose stripe is reduced
  std::atomic<std::uint64_t> entered;  ///< sequence of the last call it entered, for reports
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "shared between processes");

/// What precedes the data in a slot and travels with it between hosts.
struct alignas(128) SlotHeader {
  CallRecord call;
  std::uint64_t data_bytes = 0;  ///< of this exchange
};

class SharedSlots {
 public:
  /// Collective: all ranks of `host`, may block. Throws: CommError; RefusedError on all of them
  /// when /dev/shm is too small.
  SharedSlots(MPI_Comm host, int world, std::size_t slot_bytes);

  [[nodiscard]] std::size_t slot_bytes() const { return slot_bytes_; }
  [[nodiscard]] Board& board(int rank) const;
  [[nodiscard]] SlotHeader& header(int rank, std::uint64_t ticket) const;
  /// 128-byte aligned, slot_bytes long.
  [[nodiscard]] std::byte* data(int rank, std::uint64_t ticket) const;
  /// Where the ranks of a host gather a reduced chunk. 128-byte aligned, slot_bytes long.
  [[nodiscard]] std::byte* result(std::uint64_t ticket) const { return data(world_, ticket); }
  /// True for the first rank of the host that asks.
  [[nodiscard]] bool claim_last_word() const;
  /// Frees the window. Collective: all ranks of the host; without it the process's end frees it.
  void close();

 private:
  struct alignas(128) Page {
    std::atomic<bool> last_word_taken;
  };
  [[nodiscard]] std::size_t bytes_needed() const;
  [[nodiscard]] std::byte* slot(int rank, std::uint64_t ticket) const;

  int world_;
  std::size_t slot_bytes_;
  SharedWindow window_;
  std::byte* base_;
};

}  // namespace atelier::comm
