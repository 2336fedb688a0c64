#include "launch/comm/thread_comm.h"

#include <array>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <string>
#include <thread>

#include <pthread.h>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/host_comm.h"
#include "launch/comm/reduce.h"

namespace atelier::comm {

using SteadyClock = std::chrono::steady_clock;

/// Where the ranks meet. Inputs lie in slots of the hub, two per rank, used in turn: a rank comes
/// to meeting n + 1 only when done reading meeting n, so all have read a slot before its next use.
class ThreadGroup::Hub {
 public:
  explicit Hub(int world)
      : seats_(static_cast<std::size_t>(world)), waiting_for_(static_cast<std::size_t>(world)) {}

  [[nodiscard]] int world() const { return static_cast<int>(seats_.size()); }
  [[nodiscard]] std::vector<std::byte>& slot(int rank, std::uint64_t sequence) {
    return seats_[static_cast<std::size_t>(rank)].slots[sequence % 2];
  }

  /// Waits until every rank has brought its record of this call. Throws: CommError.
  void meet(int rank, const CallRecord& call, std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex_);
    throw_if_failed();
    Seat& seat = seats_[static_cast<std::size_t>(rank)];
    seat.call = call;
    seat.arrived = true;
    if (--waiting_for_ == 0) {
      open_next_meeting();
    } else {
      await(lock, rank, call, timeout);
    }
  }

  void fail(int rank, std::string_view reason) {
    const std::scoped_lock lock(mutex_);
    set_failure(text("Rank ", rank, " failed: ", reason));
  }

  void leave(int rank) {
    const std::scoped_lock lock(mutex_);
    seats_[static_cast<std::size_t>(rank)].left = true;
    changed_.notify_all();
  }

 private:
  struct Seat {
    std::array<std::vector<std::byte>, 2> slots;
    CallRecord call;
    bool arrived = false;
    bool left = false;
  };

  void await(std::unique_lock<std::mutex>& lock, int rank, const CallRecord& call,
             std::chrono::milliseconds timeout) {
    const std::uint64_t meeting = meeting_;
    const auto decided = [&] {
      return meeting_ != meeting || !failure_.empty() || !left().empty();
    };
    const bool in_time = changed_.wait_for(lock, timeout, decided);
    if (meeting_ != meeting) {
      return;
    }
    if (failure_.empty()) {
      const std::string who =
          in_time ? text(name_ranks(left()), " ended without this call")
                  : text(name_ranks(missing()), " did not arrive within ", timeout.count(), " ms");
      set_failure(
          text(describe(call), ": rank ", rank, " of ", world(), " waited, but ", who, "."));
    }
    throw_if_failed();
  }

  void open_next_meeting() {
    std::vector<const CallRecord*> calls;
    calls.reserve(seats_.size());
    for (const Seat& seat : seats_) {
      calls.push_back(&seat.call);
    }
    try {
      require_same_call(calls);
    } catch (const CommError& error) {
      set_failure(error.what());
      throw;
    }
    for (Seat& seat : seats_) {
      seat.arrived = false;
    }
    waiting_for_ = seats_.size();
    ++meeting_;
    changed_.notify_all();
  }

  template <typename Choose>
  [[nodiscard]] std::vector<int> ranks_where(Choose choose) const {
    std::vector<int> ranks;
    for (std::size_t rank = 0; rank < seats_.size(); ++rank) {
      if (choose(seats_[rank])) {
        ranks.push_back(static_cast<int>(rank));
      }
    }
    return ranks;
  }
  [[nodiscard]] std::vector<int> missing() const {
    return ranks_where([](const Seat& seat) { return !seat.arrived; });
  }
  [[nodiscard]] std::vector<int> left() const {
    return ranks_where([](const Seat& seat) { return seat.left && !seat.arrived; });
  }

  void set_failure(std::string reason) {
    if (failure_.empty()) {
      failure_ = std::move(reason);
    }
    changed_.notify_all();
  }
  void throw_if_failed() const {
    if (!failure_.empty()) {
      throw CommError(failure_);
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Seat> seats_;  ///< slots: of their rank; the rest: under mutex_
  std::size_t waiting_for_;  ///< under mutex_, as all below
  std::uint64_t meeting_ = 0;
  std::string failure_;
};

class ThreadGroup::RankComm final : public HostComm {
 public:
  RankComm(Hub& hub, int rank) : hub_(hub), rank_(rank) {}
  ~RankComm() override { abandon_started(); }
  RankComm(const RankComm&) = delete;
  RankComm& operator=(const RankComm&) = delete;
  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int world() const override { return hub_.world(); }
  [[nodiscard]] int local_rank() const override { return rank_; }
  [[nodiscard]] int hosts() const override { return 1; }
  [[nodiscard]] std::string_view backend() const override { return "threads"; }
  void abort(std::string_view reason, int exit_code) override {
    hub_.fail(rank_, text(reason, " (exit code ", exit_code, ")"));
  }

 private:
  void exchange(const Task& task) override {
    const CallRecord& call = task.call;
    if (task.in != nullptr) {
      hub_.slot(rank_, call.sequence).assign(task.in, task.in + task.in_bytes());
    }
    hub_.meet(rank_, call, task.timeout);
    std::vector<const std::byte*> inputs;
    inputs.reserve(static_cast<std::size_t>(world()));
    for (int rank = 0; rank < world(); ++rank) {
      inputs.push_back(hub_.slot(rank, call.sequence).data());
    }
    if (task.in_bytes() > 0) {
      compute(task, inputs);
    }
  }

  void compute(const Task& task, std::vector<const std::byte*>& inputs) const {
    const CallRecord& call = task.call;
    const auto ranks = static_cast<std::size_t>(world());
    switch (call.kind) {
      case CallKind::kAllReduce:
        return reduce_into(task.out, inputs, call.count, call.dtype, call.op);
      case CallKind::kReduceScatter:
        for (const std::byte*& input : inputs) {
          input += task.in_bytes() / ranks * static_cast<std::size_t>(rank_);
        }
        return reduce_into(task.out, inputs, call.count / ranks, call.dtype, call.op);
      case CallKind::kAllGather:
        for (std::size_t rank = 0; rank < ranks; ++rank) {
          std::memcpy(task.out + rank * task.in_bytes(), inputs[rank], task.in_bytes());
        }
        return;
      case CallKind::kBroadcast:
        std::memcpy(task.out, inputs[static_cast<std::size_t>(call.root)], task.in_bytes());
        return;
      case CallKind::kBarrier:
      case CallKind::kAllocate:
      case CallKind::kReplay:
        return;
    }
  }

  Hub& hub_;
  int rank_;
};

ThreadGroup::ThreadGroup(int world) {
  ATELIER_CHECK(world > 0, text("a group of ", world, " ranks"));
  hub_ = std::make_unique<Hub>(world);
  for (int rank = 0; rank < world; ++rank) {
    comms_.push_back(std::make_unique<RankComm>(*hub_, rank));
  }
}
ThreadGroup::~ThreadGroup() = default;

Comm& ThreadGroup::comm(int rank) { return *comms_.at(static_cast<std::size_t>(rank)); }
void ThreadGroup::fail(int rank, std::string_view reason) { hub_->fail(rank, reason); }
void ThreadGroup::leave(int rank) { hub_->leave(rank); }

void run_ranks(int world, const std::function<void(Comm&)>& body) {
  ThreadGroup group(world);
  std::mutex mutex;
  std::exception_ptr first;
  const auto run = [&](int rank) {
    std::string reason = "not a std::exception";
    try {
      body(group.comm(rank));
      return group.leave(rank);
    } catch (const std::exception& error) {
      reason = error.what();
      const std::scoped_lock lock(mutex);
      first = first ? first : std::current_exception();
    } catch (...) {
      const std::scoped_lock lock(mutex);
      first = first ? first : std::current_exception();
    }
    group.fail(rank, reason);
  };
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < world; ++rank) {
      threads.emplace_back(run, rank);
      ::pthread_setname_np(threads.back().native_handle(), text("rank ", rank).c_str());
    }
  }
  if (first) {
    std::rethrow_exception(first);
  }
}

}  // namespace atelier::comm
