#include "launch/comm/mpi_comm.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <thread>

#include <mpi.h>
#include <pthread.h>
#include <unistd.h>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/meeting.h"
#include "launch/comm/reduce.h"
#include "launch/comm/shared_window.h"
#include "launch/comm/topology.h"

namespace atelier::comm {
namespace {

/// Below this every rank reduces the whole chunk itself: one wait less than in stripes.
constexpr std::size_t kWholeBytes = 8192;
/// Stripes start at cache lines.
constexpr std::size_t kStripeElements = 64;
/// Reduced in one go in place, so that the copies of the sum come out of the first-level cache.
constexpr std::size_t kBlockElements = 2048;
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
  /// Null where the host's shared memory has no room; the ranks of a host decide alike.
  std::byte* allocate(std::size_t bytes);
  void close();
  [[nodiscard]] const Topology& topology() const { return topology_; }
  [[nodiscard]] MPI_Comm job() const { return job_; }
  [[nodiscard]] bool claim_last_word() const { return closed_ || meeting_->claim_last_word(); }

 private:
  void all_reduce(const Task& task);
  void all_reduce_in_place(const Task& task);
  void all_reduce_in_stripes(const Task& task, Span chunk);
  void reduce_scatter(const Task& task);
  void all_gather(const Task& task);
  void broadcast(const Task& task);
  [[nodiscard]] std::size_t slot_elements(const Task& task) const {
    return meeting_->slot_bytes() / size_of(task.call.dtype);
  }
  /// The part of `count` elements that this rank reduces for its host.
  [[nodiscard]] Span own_stripe(std::size_t count) const {
    return stripe(count, static_cast<std::size_t>(topology_.local_rank),
                  static_cast<std::size_t>(topology_.local_size));
  }
  /// Points inputs_ at what each rank has shown, `offset` bytes in.
  void take_shown(std::size_t offset);

  MPI_Comm job_ = MPI_COMM_NULL;
  MPI_Comm host_ = MPI_COMM_NULL;
  Topology topology_;
  std::unique_ptr<Meeting> meeting_;
  std::size_t most_shared_bytes_;
  std::vector<std::unique_ptr<SharedWindow>> regions_;  ///< of allocate(), null for ordinary memory
  std::vector<const std::byte*> inputs_;
  bool broken_ = false;
  bool closed_ = false;
};

MpiComm::Impl::Impl(const MpiCommOptions& options) : most_shared_bytes_(options.most_shared_bytes) {
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &job_), "MPI_Comm_dup");
  check_mpi(MPI_Comm_set_errhandler(job_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  int rank = 0;
  check_mpi(MPI_Comm_rank(job_, &rank), "MPI_Comm_rank");
  MPI_Comm node = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(job_, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node),
            "MPI_Comm_split_type");
  const int color = options.ranks_per_host > 0 ? rank / options.ranks_per_host : 0;
  check_mpi(MPI_Comm_split(node, color, rank, &host_), "MPI_Comm_split");
  check_mpi(MPI_Comm_free(&node), "MPI_Comm_free");
  topology_ = find_topology(job_, host_);
  meeting_ = std::make_unique<Meeting>(job_, host_, topology_, options.slot_bytes);
  inputs_.resize(static_cast<std::size_t>(topology_.world));
}

void MpiComm::Impl::run(const Task& task) {
  if (broken_ || closed_) {
    throw CommError(text(describe(task.call), ": the communicator ",
                         broken_ ? "failed in an earlier call" : "is closed", "."),
                    "It can only be aborted.");
  }
  broken_ = true;  // until the call has gone well
  meeting_->enter(task.call, task.timeout, task.background);
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
    case CallKind::kAllocate:
    case CallKind::kReplay:
      meeting_->begin();
      meeting_->meet(0);
      break;
  }
  broken_ = false;
}

std::byte* MpiComm::Impl::allocate(std::size_t bytes) {
  const std::size_t needed = bytes * static_cast<std::size_t>(topology_.local_size);
  int fits = needed <= std::min(most_shared_bytes_, free_shared_memory()) ? 1 : 0;
  check_mpi(MPI_Allreduce(MPI_IN_PLACE, &fits, 1, MPI_INT, MPI_MIN, host_), "MPI_Allreduce");
  regions_.push_back(fits == 1 ? std::make_unique<SharedWindow>(host_, bytes) : nullptr);
  return fits == 1 ? regions_.back()->part(topology_.local_rank) : nullptr;
}

void MpiComm::Impl::take_shown(std::size_t offset) {
  for (int other = 0; other < topology_.world; ++other) {
    inputs_[static_cast<std::size_t>(other)] = meeting_->shown(other) + offset;
  }
}

void MpiComm::Impl::all_reduce(const Task& task) {
  const std::size_t width = size_of(task.call.dtype);
  const bool shared = task.call.region > 0 && regions_[task.call.region - 1] != nullptr;
  if (shared && topology_.hosts == 1 && task.in_bytes() > kWholeBytes) {
    return all_reduce_in_place(task);
  }
  const std::size_t step = slot_elements(task);
  std::size_t offset = 0;
  do {
    const Span chunk{offset, std::min<std::size_t>(task.call.count, offset + step)};
    const std::size_t bytes = chunk.size() * width;
    if (bytes > kWholeBytes) {
      all_reduce_in_stripes(task, chunk);
    } else {
      copy_bytes(meeting_->begin(), task.in + offset * width, bytes);
      meeting_->meet(bytes);
      take_shown(0);
      reduce_into(task.out + offset * width, inputs_, chunk.size(), task.call.dtype, task.call.op);
    }
    offset = chunk.end;
  } while (offset < task.call.count);
}

// Each rank sums its stripe where the ranks' own memory lies and writes the sum into all of it:
// every byte is read once and written once per rank, with no copies to and from slots. Nobody else
// touches that stripe of anyone's memory until all are done.
void MpiComm::Impl::all_reduce_in_place(const Task& task) {
  meeting_->begin();
  meeting_->meet(0);

  const std::size_t width = size_of(task.call.dtype);
  const Span mine = own_stripe(task.call.count);
  const SharedWindow& region = *regions_[task.call.region - 1];
  for (std::size_t begin = mine.begin; begin < mine.end; begin += kBlockElements) {
    const std::size_t count = std::min(kBlockElements, mine.end - begin);
    const std::size_t at = task.call.offset + begin * width;
    for (std::size_t other = 0; other < inputs_.size(); ++other) {
      inputs_[other] = region.part(static_cast<int>(other)) + at;
    }
    std::byte* const own = task.out + begin * width;
    reduce_into(own, inputs_, count, task.call.dtype, task.call.op);
    for (int other = 0; other < topology_.world; ++other) {
      copy_bytes(region.part(other) + at, own, count * width);
    }
  }
  meeting_->await_reduced();
}

void MpiComm::Impl::all_reduce_in_stripes(const Task& task, Span chunk) {
  const std::size_t width = size_of(task.call.dtype);
  const std::size_t bytes = chunk.size() * width;
  const Span mine = own_stripe(chunk.size());
  const std::byte* const in = task.in + chunk.begin * width;
  std::byte* const out = task.out + chunk.begin * width;
  std::byte* const slot = meeting_->begin();
  // Nobody on this host reads the own stripe from the slot, other hosts do.
  const Span skipped = topology_.hosts == 1 ? mine : Span{0, 0};
  copy_bytes(slot, in, skipped.begin * width);
  copy_bytes(slot + skipped.end * width, in + skipped.end * width, bytes - skipped.end * width);
  meeting_->meet(bytes);

  take_shown(mine.begin * width);
  inputs_[static_cast<std::size_t>(topology_.rank)] = in + mine.begin * width;
  reduce_into(out + mine.begin * width, inputs_, mine.size(), task.call.dtype, task.call.op);
  std::byte* const result = meeting_->result();
  copy_bytes(result + mine.begin * width, out + mine.begin * width, mine.size() * width);
  meeting_->await_reduced();
  copy_bytes(out, result, mine.begin * width);
  copy_bytes(out + mine.end * width, result + mine.end * width, bytes - mine.end * width);
}

void MpiComm::Impl::reduce_scatter(const Task& task) {
  const std::size_t width = size_of(task.call.dtype);
  const auto ranks = static_cast<std::size_t>(topology_.world);
  const std::size_t part = task.call.count / ranks;
  const std::size_t step = slot_elements(task) / ranks;
  std::size_t offset = 0;
  do {
    const std::size_t size = std::min(part - offset, step);
    std::byte* const slot = meeting_->begin();
    for (std::size_t other = 0; other < ranks; ++other) {
      copy_bytes(slot + other * size * width, task.in + (other * part + offset) * width,
                 size * width);
    }
    meeting_->meet(ranks * size * width);
    take_shown(static_cast<std::size_t>(topology_.rank) * size * width);
    reduce_into(task.out + offset * width, inputs_, size, task.call.dtype, task.call.op);
    offset += size;
  } while (offset < part);
}

void MpiComm::Impl::all_gather(const Task& task) {
  const std::size_t bytes = task.in_bytes();
  std::size_t offset = 0;
  do {
    const std::size_t size = std::min(bytes - offset, meeting_->slot_bytes());
    copy_bytes(meeting_->begin(), task.in + offset, size);
    meeting_->meet(size);
    for (int other = 0; other < topology_.world; ++other) {
      const std::byte* const from =
          other == topology_.rank ? task.in + offset : meeting_->shown(other);
      copy_bytes(task.out + static_cast<std::size_t>(other) * bytes + offset, from, size);
    }
    offset += size;
  } while (offset < bytes);
}

void MpiComm::Impl::broadcast(const Task& task) {
  const bool is_root = topology_.rank == task.call.root;
  const std::size_t bytes = task.in_bytes();
  std::size_t offset = 0;
  do {
    const std::size_t size = std::min(bytes - offset, meeting_->slot_bytes());
    std::byte* const slot = meeting_->begin();
    if (is_root) {
      copy_bytes(slot, task.in + offset, size);
    }
    meeting_->meet(is_root ? size : 0);
    if (!is_root) {
      copy_bytes(task.out + offset, meeting_->shown(task.call.root), size);
    }
    offset += size;
  } while (offset < bytes);
}

void MpiComm::Impl::close() {
  closed_ = true;
  for (const auto& region : regions_) {
    if (region) {
      region->close();
    }
  }
  meeting_->close();
  check_mpi(MPI_Comm_free(&host_), "MPI_Comm_free");
  check_mpi(MPI_Comm_free(&job_), "MPI_Comm_free");
}

MpiComm::MpiComm(const MpiSession& session, const MpiCommOptions& options) {
  ATELIER_CHECK(session.active(), "MPI is not initialised");
  set_default_timeout(options.timeout);
  impl_ = std::make_unique<Impl>(options);
}
MpiComm::~MpiComm() { abandon_started(); }

int MpiComm::rank() const { return impl_->topology().rank; }
int MpiComm::world() const { return impl_->topology().world; }
int MpiComm::local_rank() const { return impl_->topology().local_rank; }
int MpiComm::hosts() const { return impl_->topology().hosts; }
int MpiComm::host() const { return impl_->topology().my_host; }
void MpiComm::exchange(const Task& task) { impl_->run(task); }
std::byte* MpiComm::provide(std::size_t bytes) {
  std::byte* const shared = impl_->allocate(bytes);
  return shared != nullptr ? shared : HostComm::provide(bytes);
}

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
  const std::jthread helper([job = impl_->job(), exit_code] { MPI_Abort(job, exit_code); });
  std::this_thread::sleep_for(kAbortPatience);
  ::_exit(exit_code);
}

}  // namespace atelier::comm
