#include "launch/comm/shared_slots.h"

#include <memory>
#include <new>

#include "launch/base/error.h"
#include "launch/comm/mpi_session.h"

namespace atelier::comm {
namespace {

constexpr std::size_t kAlign = 128;  ///< two cache lines: the prefetcher loads them in pairs

}  // namespace

SharedSlots::SharedSlots(MPI_Comm host, int world, std::size_t slot_bytes)
    : world_(world), slot_bytes_((slot_bytes + kAlign - 1) / kAlign * kAlign) {
  int local_rank = 0;
  check_mpi(MPI_Comm_rank(host, &local_rank), "MPI_Comm_rank");
  const auto ranks = static_cast<std::size_t>(world);
  const std::size_t bytes = sizeof(Page) + ranks * sizeof(Board) +
                            (ranks + 1) * 2 * (sizeof(SlotHeader) + slot_bytes_) + kAlign;
  void* mine = nullptr;
  check_mpi(MPI_Win_allocate_shared(local_rank == 0 ? static_cast<MPI_Aint>(bytes) : 0, 1,
                                    MPI_INFO_NULL, host, static_cast<void*>(&mine), &window_),
            "MPI_Win_allocate_shared");
  MPI_Aint size = 0;
  int unit = 0;
  void* memory = nullptr;
  check_mpi(MPI_Win_shared_query(window_, 0, &size, &unit, static_cast<void*>(&memory)),
            "MPI_Win_shared_query");
  // Every process maps whole pages, so alignment agrees between them.
  std::size_t space = bytes;
  base_ = static_cast<std::byte*>(std::align(kAlign, bytes - kAlign, memory, space));
  ATELIER_CHECK(base_ != nullptr, "window too small");
  if (local_rank == 0) {
    new (base_) Page{};
    for (int rank = 0; rank < world_; ++rank) {
      new (&board(rank)) Board{};
      new (&header(rank, 0)) SlotHeader{};
      new (&header(rank, 1)) SlotHeader{};
    }
  }
  check_mpi(MPI_Barrier(host), "MPI_Barrier");
}

Board& SharedSlots::board(int rank) const {
  std::byte* const boards = base_ + sizeof(Page);
  return *reinterpret_cast<Board*>(boards + static_cast<std::size_t>(rank) * sizeof(Board));
}

std::byte* SharedSlots::slot(int rank, std::uint64_t ticket) const {
  std::byte* const slots = base_ + sizeof(Page) + static_cast<std::size_t>(world_) * sizeof(Board);
  const std::size_t index = static_cast<std::size_t>(rank) * 2 + ticket % 2;
  return slots + index * (sizeof(SlotHeader) + slot_bytes_);
}

SlotHeader& SharedSlots::header(int rank, std::uint64_t ticket) const {
  return *reinterpret_cast<SlotHeader*>(slot(rank, ticket));
}

std::byte* SharedSlots::data(int rank, std::uint64_t ticket) const {
  return slot(rank, ticket) + sizeof(SlotHeader);
}

bool SharedSlots::claim_last_word() const {
  return !reinterpret_cast<Page*>(base_)->last_word_taken.exchange(true);
}

void SharedSlots::close() {
  base_ = nullptr;
  check_mpi(MPI_Win_free(&window_), "MPI_Win_free");
}

}  // namespace atelier::comm
