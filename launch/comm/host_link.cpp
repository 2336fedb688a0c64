#include "launch/comm/host_link.h"

#include <algorithm>

#include "launch/comm/mpi_session.h"

namespace atelier::comm {

HostLink::HostLink(MPI_Comm comm, SharedSlots& slots, const std::vector<int>& host_of, int my_host)
    : comm_(comm), slots_(slots) {
  std::vector<int> leaders;
  for (std::size_t rank = 0; rank < host_of.size(); ++rank) {
    const auto host = static_cast<std::size_t>(host_of[rank]);
    if (host == leaders.size()) {
      leaders.push_back(static_cast<int>(rank));
      if (host_of[rank] != my_host) {
        other_leaders_.push_back(leaders.back());
      }
    }
    leader_of_.push_back(leaders[host]);
    if (host_of[rank] == my_host) {
      own_ranks_.push_back(static_cast<int>(rank));
    } else {
      receives_.push_back({.rank = static_cast<int>(rank)});
    }
  }
}

HostLink::~HostLink() {
  // Only after a failed call is anything still under way; both calls below are local.
  for (Receive& receive : receives_) {
    if (receive.request != MPI_REQUEST_NULL) {
      MPI_Cancel(&receive.request);
      MPI_Request_free(&receive.request);
    }
  }
  for (MPI_Request& send : sends_) {
    if (send != MPI_REQUEST_NULL) {
      MPI_Request_free(&send);
    }
  }
}

void HostLink::begin(std::uint64_t ticket) {
  ticket_ = ticket;
  unsent_ = own_ranks_;
  sends_.clear();
  const auto bytes = static_cast<int>(sizeof(SlotHeader) + slots_.slot_bytes());
  for (Receive& receive : receives_) {
    const auto rank = static_cast<std::size_t>(receive.rank);
    check_mpi(MPI_Irecv(&slots_.header(receive.rank, ticket), bytes, MPI_BYTE, leader_of_[rank],
                        receive.rank, comm_, &receive.request),
              "MPI_Irecv");
  }
}

bool HostLink::progress() {
  std::erase_if(unsent_, [this](int rank) {
    const bool ready = slots_.board(rank).arrived.load(std::memory_order_acquire) >= ticket_;
    if (ready) {
      send_slot(rank);
    }
    return ready;
  });
  bool complete = unsent_.empty();
  for (Receive& receive : receives_) {
    if (receive.request == MPI_REQUEST_NULL) {
      continue;
    }
    int done = 0;
    check_mpi(MPI_Test(&receive.request, &done, MPI_STATUS_IGNORE), "MPI_Test of a receive");
    if (done != 0) {
      Board& board = slots_.board(receive.rank);
      const std::uint64_t sequence = slots_.header(receive.rank, ticket_).call.sequence;
      board.entered.store(sequence, std::memory_order_relaxed);
      board.arrived.store(ticket_, std::memory_order_release);
    } else {
      complete = false;
    }
  }
  int sent = 0;
  check_mpi(MPI_Testall(static_cast<int>(sends_.size()), sends_.data(), &sent, MPI_STATUSES_IGNORE),
            "MPI_Testall of sends");
  return complete && sent != 0;
}

void HostLink::send_slot(int rank) {
  SlotHeader& header = slots_.header(rank, ticket_);
  const auto bytes = static_cast<int>(sizeof(SlotHeader) + header.data_bytes);
  for (const int leader : other_leaders_) {
    sends_.emplace_back();
    check_mpi(MPI_Isend(&header, bytes, MPI_BYTE, leader, rank, comm_, &sends_.back()),
              "MPI_Isend");
  }
}

}  // namespace atelier::comm
