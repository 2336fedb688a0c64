#include "launch/comm/shared_slots.h"

#include <new>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/mpi_session.h"

namespace atelier::comm {
namespace {

std::size_t padded(std::size_t bytes) {
  constexpr std::size_t kAlign = SharedWindow::kAlign;
  return (bytes + kAlign - 1) / kAlign * kAlign;
}

int rank_in(MPI_Comm host) {
  int rank = 0;
  check_mpi(MPI_Comm_rank(host, &rank), "MPI_Comm_rank");
  return rank;
}

/// `bytes`, once it is sure that they fit; the ranks of a host decide alike.
std::size_t fitting(MPI_Comm host, std::size_t bytes) {
  std::uint64_t room = free_shared_memory(0);
  std::uint64_t needed = bytes;
  check_mpi(MPI_Bcast(&room, 1, MPI_UINT64_T, 0, host), "MPI_Bcast");
  check_mpi(MPI_Bcast(&needed, 1, MPI_UINT64_T, 0, host), "MPI_Bcast");
  if (needed > room) {
    throw RefusedError(text("The ranks of a host share ", human_bytes(needed),
                            " of memory, but /dev/shm has ", human_bytes(room), " free."),
                       "Make it larger: docker run --shm-size=1g, or mount -o remount,size=1g "
                       "/dev/shm.");
  }
  return rank_in(host) == 0 ? bytes : 0;
}

}  // namespace

SharedSlots::SharedSlots(MPI_Comm host, int world, std::size_t slot_bytes)
    : world_(world),
      slot_bytes_(padded(slot_bytes)),
      window_(host, fitting(host, bytes_needed())),
      base_(window_.part(0)) {
  if (rank_in(host) == 0) {
    new (base_) Page{};
    for (int rank = 0; rank < world_; ++rank) {
      new (&board(rank)) Board{};
      new (&header(rank, 0)) SlotHeader{};
      new (&header(rank, 1)) SlotHeader{};
    }
  }
  check_mpi(MPI_Barrier(host), "MPI_Barrier");
}

std::size_t SharedSlots::bytes_needed() const {
  const auto ranks = static_cast<std::size_t>(world_);
  return sizeof(Page) + ranks * sizeof(Board) +
         (ranks + 1) * 2 * (sizeof(SlotHeader) + slot_bytes_);
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
  window_.close();
}

}  // namespace atelier::comm
