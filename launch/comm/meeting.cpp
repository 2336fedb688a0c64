#include "launch/comm/meeting.h"

#include <algorithm>

#include <unistd.h>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::comm {

Meeting::Meeting(MPI_Comm job, MPI_Comm host, const Topology& topology, std::size_t slot_bytes)
    : topology_(topology),
      slots_(host, topology.world,
             std::max(slot_bytes, 64 * static_cast<std::size_t>(topology.world))),
      may_spin_(::sysconf(_SC_NPROCESSORS_ONLN) >= topology.local_size) {
  if (topology.hosts > 1 && topology.local_rank == 0) {
    link_.emplace(job, slots_, topology.host_of, topology.my_host);
  }
}

void Meeting::enter(const CallRecord& call, std::chrono::milliseconds timeout, bool background) {
  call_ = call;
  manner_ = background ? Manner::kSleep : may_spin_ ? Manner::kSpin : Manner::kYield;
  timeout_ = timeout;
  deadline_ = Waiter::Clock::now() + timeout;
  slots_.board(topology_.rank).entered.store(call.sequence, std::memory_order_relaxed);
}

std::byte* Meeting::begin() {
  ++ticket_;
  if (link_) {
    link_->begin(ticket_);
  }
  slots_.header(topology_.rank, ticket_).call = call_;
  return slots_.data(topology_.rank, ticket_);
}

void Meeting::meet(std::size_t data_bytes) {
  slots_.header(topology_.rank, ticket_).data_bytes = data_bytes;
  slots_.board(topology_.rank).arrived.store(ticket_, std::memory_order_release);
  Waiter waiter(manner_, deadline_);
  int next = 0;
  while (true) {
    const bool carried = !link_ || link_->progress();
    while (next < topology_.world &&
           slots_.board(next).arrived.load(std::memory_order_acquire) >= ticket_) {
      ++next;
    }
    if (next == topology_.world && carried) {
      break;
    }
    if (!waiter.pause()) {
      give_up(Wait::kArrival);
    }
  }
  check_calls();
}

void Meeting::check_calls() const {
  bool same = true;
  for (int other = 0; other < topology_.world; ++other) {
    same = same && same_call(slots_.header(other, ticket_).call, call_);
  }
  if (same) {
    return;
  }
  std::vector<const CallRecord*> calls;
  calls.reserve(static_cast<std::size_t>(topology_.world));
  for (int other = 0; other < topology_.world; ++other) {
    calls.push_back(&slots_.header(other, ticket_).call);
  }
  require_same_call(calls);
}

void Meeting::await_reduced() {
  slots_.board(topology_.rank).reduced.store(ticket_, std::memory_order_release);
  Waiter waiter(manner_, deadline_);
  for (const int other : topology_.local_ranks) {
    while (slots_.board(other).reduced.load(std::memory_order_acquire) < ticket_) {
      if (!waiter.pause()) {
        give_up(Wait::kReduction);
      }
    }
  }
}

std::vector<int> Meeting::missing(Wait wait) const {
  std::vector<int> ranks;
  for (int other = 0; other < topology_.world; ++other) {
    const Board& board = slots_.board(other);
    const bool done = wait == Wait::kArrival
                          ? board.arrived.load() >= ticket_
                          : !topology_.is_local(other) || board.reduced.load() >= ticket_;
    if (!done) {
      ranks.push_back(other);
    }
  }
  return ranks;
}

void Meeting::give_up(Wait wait) const {
  const std::vector<int> late = missing(wait);
  const std::string limit = human_seconds(std::chrono::duration<double>(timeout_).count());
  const std::string self = text("rank ", topology_.rank, " of ", topology_.world);
  if (late.empty()) {
    throw CommError(
        text(describe(call_), ": ", self, " could not send to the other hosts within ", limit, "."),
        "Check the network between the hosts; resume from the last checkpoint.");
  }
  const std::uint64_t entered = slots_.board(late.front()).entered.load();
  throw CommError(text(describe(call_), ": ", self, " waited ", limit, " for ", name_ranks(late),
                       wait == Wait::kReduction ? ", stuck inside the call" : "", " (rank ",
                       late.front(), " last entered call ", entered, ")."),
                  "A rank named here is stopped, overloaded or gone; resume from the last "
                  "checkpoint.");
}

void Meeting::close() {
  link_.reset();
  slots_.close();
}

}  // namespace atelier::comm
