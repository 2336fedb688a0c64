#include "launch/comm/mpi_comm.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <optional>
#include <thread>

#include <mpi.h>
#include <pthread.h>
#include <unistd.h>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/host_link.h"
#include "launch/comm/reduce.h"
#include "launch/comm/shared_slots.h"
#include "launch/comm/waiter.h"

namespace atelier::comm {
namespace {

/// Below this every rank reduces the whole chunk itself: one wait less than in stripes.
constexpr std::size_t kWholeBytes = 8192;
/// Stripes start at cache lines.
constexpr std::size_t kStripeElements = 64;
constexpr std::chrono::seconds kAbortPatience{5};

struct Span {
  std::size_t begin;
  std::size_t end;
  [[nodiscard]] std::size_t size() const { return end - begin; }
};

/// The `index`-th of `parts` nearly equal stripes of `count` elements.
Span stripe(std::size_t count, std::size_t index, std::size_t parts) {
  const std::size_t units = (count + kStripeElements - 1) / kStripeElements;
  const auto edge = [&](std::size_t i) {
    return std::min(count, units * i / parts * kStripeElements);
  };
  return {edge(index), edge(index + 1)};
}

void copy_bytes(std::byte* to, const std::byte* from, std::size_t bytes) {
  if (bytes > 0 && to != from) {
    std::memcpy(to, from, bytes);
  }
}

}  // namespace

class MpiComm::Impl {
 public:
  explicit Impl(const MpiCommOptions& options);
  void run(const Task& task);
  void close();
  [[nodiscard]] bool claim_last_word() const { return closed_ || slots_->claim_last_word(); }

  MPI_Comm comm = MPI_COMM_NULL;
  int rank = 0;
  int world = 1;
  int local_rank = 0;
  int hosts = 1;

 private:
  using Clock = Waiter::Clock;
  void find_hosts();
  void all_reduce(const Task& task);
  void all_reduce_in_stripes(const Task& task, Span chunk);
  void reduce_scatter(const Task& task);
  void all_gather(const Task& task);
  void broadcast(const Task& task);
  [[nodiscard]] std::size_t slot_elements(const Task& task) const {
    return slots_->slot_bytes() / size_of(task.call.dtype);
  }
  /// Starts an exchange and gives the own slot, to be filled before `meet`.
  std::byte* begin(const Task& task);
  /// Shows the own slot to all and returns when all have shown theirs.
  void meet(const Task& task, std::size_t data_bytes);
  void await_reduced(const Task& task);
  [[nodiscard]] std::vector<int> missing(bool reduced) const;
  [[noreturn]] void give_up(const Task& task, bool reduced) const;
  void check_calls(const CallRecord& call) const;

  MPI_Comm host_ = MPI_COMM_NULL;
  int local_size_ = 1;
  int my_host_ = 0;
  std::vector<int> host_of_;      ///< by rank
  std::vector<int> local_ranks_;  ///< of this host, ascending
  std::optional<SharedSlots> slots_;
  std::optional<HostLink> link_;  ///< on leaders, when there are several hosts
  std::vector<const std::byte*> inputs_;
  bool may_spin_ = false;
  bool broken_ = false;
  bool closed_ = false;
  std::uint64_t ticket_ = 0;
  Clock::time_point deadline_;
};

MpiComm::Impl::Impl(const MpiCommOptions& options) {
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &comm), "MPI_Comm_dup");
  check_mpi(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check_mpi(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(comm, &world), "MPI_Comm_size");
  MPI_Comm node = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node),
            "MPI_Comm_split_type");
  const int color = options.ranks_per_host > 0 ? rank / options.ranks_per_host : 0;
  check_mpi(MPI_Comm_split(node, color, rank, &host_), "MPI_Comm_split");
  check_mpi(MPI_Comm_free(&node), "MPI_Comm_free");
  find_hosts();
  const auto ranks = static_cast<std::size_t>(world);
  slots_.emplace(host_, world, std::max(options.slot_bytes, 64 * ranks));
  if (hosts > 1 && local_rank == 0) {
    link_.emplace(comm, *slots_, host_of_, my_host_);
  }
  inputs_.resize(ranks);
  may_spin_ = ::sysconf(_SC_NPROCESSORS_ONLN) >= local_size_;
}

void MpiComm::Impl::find_hosts() {
  check_mpi(MPI_Comm_rank(host_, &local_rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(host_, &local_size_), "MPI_Comm_size");
  int leader = rank;
  check_mpi(MPI_Bcast(&leader, 1, MPI_INT, 0, host_), "MPI_Bcast");
  std::vector<int> leader_of(static_cast<std::size_t>(world));
  check_mpi(MPI_Allgather(&leader, 1, MPI_INT, leader_of.data(), 1, MPI_INT, comm),
            "MPI_Allgather");
  std::vector<int> leaders = leader_of;
  std::sort(leaders.begin(), leaders.end());
  leaders.erase(std::unique(leaders.begin(), leaders.end()), leaders.end());
  hosts = static_cast<int>(leaders.size());
  for (int other = 0; other < world; ++other) {
    const int its_leader = leader_of[static_cast<std::size_t>(other)];
    const auto place = std::lower_bound(leaders.begin(), leaders.end(), its_leader);
    host_of_.push_back(static_cast<int>(place - leaders.begin()));
    if (its_leader == leader) {
      local_ranks_.push_back(other);
    }
  }
  my_host_ = host_of_[static_cast<std::size_t>(rank)];
}

void MpiComm::Impl::run(const Task& task) {
  if (broken_ || closed_) {
    throw CommError(text(describe(task.call), ": the communicator ",
                         broken_ ? "failed in an earlier call" : "is closed", "."),
                    "It can only be aborted.");
  }
  broken_ = true;  // until the call has gone well
  deadline_ = Clock::now() + task.timeout;
  slots_->board(rank).entered.store(task.call.sequence, std::memory_order_relaxed);
  switch (task.call.kind) {
    case CallKind::kAllReduce:
      all_reduce(task);
      break;
    case CallKind::kReduceScatter:
      reduce_scatter(task);
      break;
    case CallKind::kAllGather:
      all_gather(task);
      break;
    case CallKind::kBroadcast:
      broadcast(task);
      break;
    case CallKind::kBarrier:
      begin(task);
      meet(task, 0);
      break;
  }
  broken_ = false;
}

std::byte* MpiComm::Impl::begin(const Task& task) {
  ++ticket_;
  if (link_) {
    link_->begin(ticket_);
  }
  slots_->header(rank, ticket_).call = task.call;
  return slots_->data(rank, ticket_);
}

void MpiComm::Impl::meet(const Task& task, std::size_t data_bytes) {
  slots_->header(rank, ticket_).data_bytes = data_bytes;
  slots_->board(rank).arrived.store(ticket_, std::memory_order_release);
  Waiter waiter(may_spin_, deadline_);
  int next = 0;
  while (true) {
    const bool carried = !link_ || link_->progress();
    while (next < world && slots_->board(next).arrived.load(std::memory_order_acquire) >= ticket_) {
      ++next;
    }
    if (next == world && carried) {
      break;
    }
    if (!waiter.pause()) {
      give_up(task, false);
    }
  }
  check_calls(task.call);
}

void MpiComm::Impl::check_calls(const CallRecord& call) const {
  std::vector<const CallRecord*> calls;
  bool same = true;
  for (int other = 0; other < world; ++other) {
    same = same && same_call(slots_->header(other, ticket_).call, call);
  }
  for (int other = 0; other < world && !same; ++other) {
    calls.push_back(&slots_->header(other, ticket_).call);
  }
  require_same_call(calls);
}

void MpiComm::Impl::await_reduced(const Task& task) {
  slots_->board(rank).reduced.store(ticket_, std::memory_order_release);
  Waiter waiter(may_spin_, deadline_);
  for (const int other : local_ranks_) {
    while (slots_->board(other).reduced.load(std::memory_order_acquire) < ticket_) {
      if (!waiter.pause()) {
        give_up(task, true);
      }
    }
  }
}

std::vector<int> MpiComm::Impl::missing(bool reduced) const {
  std::vector<int> ranks;
  for (int other = 0; other < world; ++other) {
    const Board& board = slots_->board(other);
    const bool local = host_of_[static_cast<std::size_t>(other)] == my_host_;
    const bool done =
        reduced ? !local || board.reduced.load() >= ticket_ : board.arrived.load() >= ticket_;
    if (!done) {
      ranks.push_back(other);
    }
  }
  return ranks;
}

void MpiComm::Impl::give_up(const Task& task, bool reduced) const {
  const std::vector<int> late = missing(reduced);
  const std::string limit = human_seconds(std::chrono::duration<double>(task.timeout).count());
  if (late.empty()) {
    throw CommError(text(describe(task.call), ": rank ", rank, " of ", world, " could not send to ",
                         "the other hosts within ", limit, "."),
                    "Check the network between the hosts; resume from the last checkpoint.");
  }
  const std::uint64_t entered = slots_->board(late.front()).entered.load();
  throw CommError(text(describe(task.call), ": rank ", rank, " of ", world, " waited ", limit,
                       " for ", name_ranks(late), reduced ? ", stuck inside the call" : "",
                       " (rank ", late.front(), " last entered call ", entered, ")."),
                  "A rank named here is stopped, overloaded or gone; resume from the last "
                  "checkpoint.");
}

void MpiComm::Impl::all_reduce(const Task& task) {
  const std::size_t width = size_of(task.call.dtype);
  const std::size_t step = slot_elements(task);
  std::size_t offset = 0;
  do {
    const Span chunk{offset, std::min<std::size_t>(task.call.count, offset + step)};
    const std::size_t bytes = chunk.size() * width;
    if (bytes > kWholeBytes) {
      all_reduce_in_stripes(task, chunk);
    } else {
      copy_bytes(begin(task), task.in + offset * width, bytes);
      meet(task, bytes);
      for (int other = 0; other < world; ++other) {
        inputs_[static_cast<std::size_t>(other)] = slots_->data(other, ticket_);
      }
      reduce_into(task.out + offset * width, inputs_, chunk.size(), task.call.dtype, task.call.op);
    }
    offset = chunk.end;
  } while (offset < task.call.count);
}

void MpiComm::Impl::all_reduce_in_stripes(const Task& task, Span chunk) {
  const std::size_t width = size_of(task.call.dtype);
  const std::size_t bytes = chunk.size() * width;
  const Span mine = stripe(chunk.size(), static_cast<std::size_t>(local_rank),
                           static_cast<std::size_t>(local_size_));
  const std::byte* const in = task.in + chunk.begin * width;
  std::byte* const out = task.out + chunk.begin * width;
  std::byte* const slot = begin(task);
  // Nobody on this host reads the own stripe from the slot, other hosts do.
  const Span skipped = hosts == 1 ? mine : Span{0, 0};
  copy_bytes(slot, in, skipped.begin * width);
  copy_bytes(slot + skipped.end * width, in + skipped.end * width, bytes - skipped.end * width);
  meet(task, bytes);

  for (int other = 0; other < world; ++other) {
    const std::byte* const source = other == rank ? in : slots_->data(other, ticket_);
    inputs_[static_cast<std::size_t>(other)] = source + mine.begin * width;
  }
  reduce_into(out + mine.begin * width, inputs_, mine.size(), task.call.dtype, task.call.op);
  std::byte* const result = slots_->result(ticket_);
  copy_bytes(result + mine.begin * width, out + mine.begin * width, mine.size() * width);
  await_reduced(task);
  copy_bytes(out, result, mine.begin * width);
  copy_bytes(out + mine.end * width, result + mine.end * width, bytes - mine.end * width);
}

void MpiComm::Impl::reduce_scatter(const Task& task) {
  const std::size_t width = size_of(task.call.dtype);
  const auto ranks = static_cast<std::size_t>(world);
  const std::size_t part = task.call.count / ranks;
  const std::size_t step = slot_elements(task) / ranks;
  std::size_t offset = 0;
  do {
    const std::size_t size = std::min(part - offset, step);
    std::byte* const slot = begin(task);
    for (std::size_t other = 0; other < ranks; ++other) {
      copy_bytes(slot + other * size * width, task.in + (other * part + offset) * width,
                 size * width);
    }
    meet(task, ranks * size * width);
    for (int other = 0; other < world; ++other) {
      inputs_[static_cast<std::size_t>(other)] =
          slots_->data(other, ticket_) + static_cast<std::size_t>(rank) * size * width;
    }
    reduce_into(task.out + offset * width, inputs_, size, task.call.dtype, task.call.op);
    offset += size;
  } while (offset < part);
}

void MpiComm::Impl::all_gather(const Task& task) {
  const std::size_t bytes = task.in_bytes();
  std::size_t offset = 0;
  do {
    const std::size_t size = std::min(bytes - offset, slots_->slot_bytes());
    copy_bytes(begin(task), task.in + offset, size);
    meet(task, size);
    for (int other = 0; other < world; ++other) {
      const std::byte* const from = other == rank ? task.in + offset : slots_->data(other, ticket_);
      copy_bytes(task.out + static_cast<std::size_t>(other) * bytes + offset, from, size);
    }
    offset += size;
  } while (offset < bytes);
}

void MpiComm::Impl::broadcast(const Task& task) {
  const bool is_root = rank == task.call.root;
  const std::size_t bytes = task.in_bytes();
  std::size_t offset = 0;
  do {
    const std::size_t size = std::min(bytes - offset, slots_->slot_bytes());
    std::byte* const slot = begin(task);
    if (is_root) {
      copy_bytes(slot, task.in + offset, size);
    }
    meet(task, is_root ? size : 0);
    if (!is_root) {
      copy_bytes(task.out + offset, slots_->data(task.call.root, ticket_), size);
    }
    offset += size;
  } while (offset < bytes);
}

void MpiComm::Impl::close() {
  closed_ = true;
  link_.reset();
  slots_->close();
  check_mpi(MPI_Comm_free(&host_), "MPI_Comm_free");
  check_mpi(MPI_Comm_free(&comm), "MPI_Comm_free");
}

MpiComm::MpiComm(const MpiSession& session, const MpiCommOptions& options) {
  ATELIER_CHECK(session.active(), "MPI is not initialised");
  set_default_timeout(options.timeout);
  impl_ = std::make_unique<Impl>(options);
}
MpiComm::~MpiComm() = default;

int MpiComm::rank() const { return impl_->rank; }
int MpiComm::world() const { return impl_->world; }
int MpiComm::local_rank() const { return impl_->local_rank; }
int MpiComm::hosts() const { return impl_->hosts; }
void MpiComm::exchange(const Task& task) { impl_->run(task); }

void MpiComm::close() {
  barrier({.label = "end of the job"});
  impl_->close();
}

void MpiComm::abort(std::string_view reason, int exit_code) {
  if (impl_->claim_last_word()) {
    std::fputs(text("atelier: rank ", rank(), " of ", world(), " ends the job (exit code ",
                    exit_code, "): ", reason, "\n")
                   .c_str(),
               stderr);
  }
  // MPI_Abort may hang in a broken MPI; mpirun ends the others when this process is gone.
  const std::jthread helper([comm = impl_->comm, exit_code] { MPI_Abort(comm, exit_code); });
  std::this_thread::sleep_for(kAbortPatience);
  ::_exit(exit_code);
}

}  // namespace atelier::comm
