#include "tests/support/fake_gpu/fake_nccl.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "launch/base/text.h"
#include "launch/comm/call.h"
#include "launch/comm/reduce.h"
#include "tests/support/fake_gpu/tape.h"

namespace atelier::tests {
namespace {

using comm::CallKind;
using comm::CallRecord;

constexpr int kSystemError = 2;
constexpr int kInvalidArgument = 4;
constexpr int kInvalidUsage = 5;
constexpr int kRemoteError = 6;
constexpr int kMostRanks = 8;
constexpr std::size_t kChunkBytes = std::size_t{256} << 10;
constexpr std::chrono::microseconds kNap{20};

/// What a rank brings to an exchange; two take turns, so that nobody waits for readers.
struct Lane {
  CallRecord call;
  std::array<std::byte, kChunkBytes> data;
};

/// Shared by the ranks of a communicator. All zero at first.
struct Segment {
  std::atomic<int> joined;
  std::atomic<int> ended;  ///< ranks that finalised
  std::atomic<bool> aborted;
  std::array<std::atomic<std::uint64_t>, kMostRanks> arrived;
  std::array<std::array<Lane, 2>, kMostRanks> lanes;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

// As NCCL writes it where it is asked to.
void log_connections(int rank, int world) {
  const char* const level = std::getenv("NCCL_DEBUG");
  const char* const name = std::getenv("NCCL_DEBUG_FILE");
  if (level == nullptr || std::string_view(level) != "INFO" || name == nullptr) return;
  std::ofstream log(name);
  for (int peer = 0; peer < world; ++peer) {
    if (peer == rank) continue;
    log << "made-up:1:1 [0] NCCL INFO Channel 00/0 : " << rank << "[0] -> " << peer
        << "[0] via P2P/made-up\n";
  }
}

}  // namespace

struct FakeNccl::Call {
  CallRecord record;
  const std::byte* in = nullptr;  ///< record.count elements
  std::byte* out = nullptr;
  std::size_t out_bytes = 0;
};

class FakeNccl::Communicator {
 public:
  Communicator(int world, std::string name, int rank, const Faults& faults)
      : world_(world), name_(std::move(name)), rank_(rank), faults_(faults) {}
  ~Communicator() {
    if (segment_ != nullptr) ::munmap(segment_, sizeof(Segment));
  }
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  bool open() {
    const int file = ::shm_open(name_.c_str(), O_RDWR, 0600);
    if (file < 0) return false;
    void* const memory =
        ::mmap(nullptr, sizeof(Segment), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ::close(file);
    if (memory == MAP_FAILED) return false;
    segment_ = static_cast<Segment*>(memory);
    if (faults_.init_fails) fail(kSystemError, "a made-up network has no interface");
    if (!faults_.init_never) ++segment_->joined;
    return true;
  }

  /// Of a recording that has one of its calls, as long as it lives.
  [[nodiscard]] std::shared_ptr<void> hold() const { return held_; }
  [[nodiscard]] bool is_held() const { return held_.use_count() > 1; }

  int state() {
    if (const int error = error_.load(); error != 0) return error;
    if (aborted_) return fail(kInvalidUsage, "used after it was aborted");
    if (segment_->joined < world_) return comm::kNcclInProgress;
    if (rank_ == 0 && !unlinked_.exchange(true)) ::shm_unlink(name_.c_str());
    if (segment_->aborted) return fail(kRemoteError, "a peer has aborted the communicator");
    if (finalizing_ && segment_->ended < world_) return comm::kNcclInProgress;
    return 0;
  }

  int fail(int code, const std::string& what) {
    const std::scoped_lock lock(mutex_);
    if (error_ == 0) {
      text_ = what;
      error_ = code;
    }
    return error_;
  }
  std::string last_error() {
    const std::scoped_lock lock(mutex_);
    return text_;
  }

  void abort() {
    aborted_ = true;
    segment_->aborted = true;
    if (rank_ == 0 && !unlinked_.exchange(true)) ::shm_unlink(name_.c_str());
  }
  void finalize() {
    if (!finalizing_.exchange(true)) ++segment_->ended;
  }
  [[nodiscard]] bool aborted() const { return aborted_; }
  [[nodiscard]] const Faults& faults() const { return faults_; }
  [[nodiscard]] int world() const { return world_; }
  std::uint64_t next_number() { return ++calls_; }

  /// On the stream's thread. False when the call does not come to its end.
  bool run(const Call& call, const std::atomic<bool>& stopping) {
    stopping_ = &stopping;
    const auto number = static_cast<std::int64_t>(call.record.sequence);
    if (faults_.delay_us > 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(faults_.delay_us));
    }
    if (number == faults_.async_error) fail(kSystemError, "a made-up socket was closed");
    if (number == faults_.async_error || number == faults_.stall) return stand_still();
    const std::size_t width = size_of(call.record.dtype);
    const std::size_t step = kChunkBytes / width;
    for (std::size_t first = 0; first < call.record.count; first += step) {
      const std::size_t count = std::min(step, call.record.count - first);
      if (!exchange(call, first, count)) return stand_still();
    }
    return true;
  }

 private:
  std::shared_ptr<void> held_ = std::make_shared<int>();
  // A kernel that waits for its peers for ever, until the communicator is aborted.
  bool stand_still() {
    while (!aborted_ && !stopping_->load()) std::this_thread::sleep_for(kNap);
    return false;
  }

  bool exchange(const Call& call, std::size_t first, std::size_t count) {
    const std::size_t width = size_of(call.record.dtype);
    const std::uint64_t ticket = ++ticket_;
    const auto turn = static_cast<std::size_t>(ticket % 2);
    Lane& mine = segment_->lanes.at(static_cast<std::size_t>(rank_)).at(turn);
    mine.call = call.record;
    std::memcpy(mine.data.data(), call.in + first * width, count * width);
    segment_->arrived.at(static_cast<std::size_t>(rank_)).store(ticket);
    std::vector<const std::byte*> inputs;
    for (std::size_t rank = 0; rank < static_cast<std::size_t>(world_); ++rank) {
      while (segment_->arrived.at(rank).load() < ticket) {
        if (aborted_ || segment_->aborted || stopping_->load()) return false;
        std::this_thread::sleep_for(kNap);
      }
      const Lane& lane = segment_->lanes.at(rank).at(turn);
      if (!same_call(lane.call, call.record)) {
        fail(kInvalidUsage, text("ranks ", rank_, " and ", rank, " made different calls: ",
                                 describe(call.record), " and ", describe(lane.call)));
        return false;
      }
      inputs.push_back(lane.data.data());
    }
    deliver(call, first, count, inputs);
    return true;
  }

  void deliver(const Call& call, std::size_t first, std::size_t count,
               const std::vector<const std::byte*>& inputs) {
    const std::size_t width = size_of(call.record.dtype);
    switch (call.record.kind) {
      case CallKind::kAllReduce:
        return comm::reduce_into(call.out + first * width, inputs, count, call.record.dtype,
                                 call.record.op);
      case CallKind::kReduceScatter:
        return deliver_part(call, first, count, inputs);
      case CallKind::kBroadcast:
        std::memcpy(call.out + first * width, inputs[static_cast<std::size_t>(call.record.root)],
                    count * width);
        return;
      default:  // all_gather
        for (std::size_t rank = 0; rank < inputs.size(); ++rank) {
          std::memcpy(call.out + (rank * call.record.count + first) * width, inputs[rank],
                      count * width);
        }
    }
  }

  // What of elements [first, first + count) belongs to this rank.
  void deliver_part(const Call& call, std::size_t first, std::size_t count,
                    std::vector<const std::byte*> inputs) const {
    const std::size_t width = size_of(call.record.dtype);
    const std::size_t part = call.record.count / static_cast<std::size_t>(world_);
    const std::size_t own = part * static_cast<std::size_t>(rank_);
    const std::size_t begin = std::max(first, own);
    const std::size_t end = std::min(first + count, own + part);
    if (begin >= end) return;
    for (const std::byte*& input : inputs) input += (begin - first) * width;
    comm::reduce_into(call.out + (begin - own) * width, inputs, end - begin, call.record.dtype,
                      call.record.op);
  }

  int world_;
  std::string name_;
  int rank_;
  Faults faults_;
  Segment* segment_ = nullptr;
  std::atomic<int> error_{0};
  std::atomic<bool> aborted_{false};
  std::atomic<bool> unlinked_{false};
  std::atomic<bool> finalizing_{false};
  std::mutex mutex_;
  std::string text_;
  std::uint64_t calls_ = 0;
  std::uint64_t ticket_ = 0;                     // the stream's thread
  const std::atomic<bool>* stopping_ = nullptr;  // likewise
};

FakeNccl::FakeNccl(const Faults& faults, std::shared_ptr<FakeMemory> memory)
    : faults_(faults), memory_(std::move(memory)) {}
FakeNccl::~FakeNccl() = default;

int FakeNccl::complain(std::string what, int code) const {
  const std::scoped_lock lock(mutex_);
  complaint_ = std::move(what);
  return code;
}

int FakeNccl::get_version(int& version) const {
  version = faults_.nccl;
  return 0;
}

std::string FakeNccl::error_text(int code) const {
  switch (code) {
    case kSystemError:
      return "unhandled system error";
    case kInvalidArgument:
      return "invalid argument";
    case kInvalidUsage:
      return "invalid usage";
    case kRemoteError:
      return "remote process exited or there was a network error";
    default:
      return "internal error";
  }
}

std::string FakeNccl::last_error(comm::NcclHandle comm) const {
  if (comm != nullptr) {
    if (std::string text = static_cast<Communicator*>(comm)->last_error(); !text.empty())
      return text;
  }
  const std::scoped_lock lock(mutex_);
  return complaint_;
}

int FakeNccl::get_unique_id(comm::NcclId& id) {
  static std::atomic<int> made{0};
  const std::string name = text("/atelier-fake-nccl-", ::getpid(), "-", ++made);
  const int file = ::shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
  if (file < 0) return complain("cannot create shared memory", kSystemError);
  const bool sized = ::ftruncate(file, sizeof(Segment)) == 0;
  ::close(file);
  if (!sized) return complain("no room for shared memory", kSystemError);
  id = {};
  std::copy(name.begin(), name.end(), id.begin());
  return 0;
}

int FakeNccl::comm_init_rank(comm::NcclHandle& comm, int world, const comm::NcclId& id, int rank) {
  if (world > kMostRanks || rank < 0 || rank >= world) {
    return complain(text("rank ", rank, " of ", world), kInvalidArgument);
  }
  auto made = std::make_shared<Communicator>(world, id.data(), rank, faults_);
  if (!made->open()) return complain("no such unique id", kInvalidArgument);
  log_connections(rank, world);
  comm = made.get();
  const std::scoped_lock lock(mutex_);
  communicators_.push_back(std::move(made));
  return comm::kNcclInProgress;
}

int FakeNccl::comm_get_async_error(comm::NcclHandle comm, int& state) {
  state = static_cast<Communicator*>(comm)->state();
  return 0;
}

int FakeNccl::comm_finalize(comm::NcclHandle comm) {
  static_cast<Communicator*>(comm)->finalize();
  return comm::kNcclInProgress;
}

int FakeNccl::comm_destroy(comm::NcclHandle) { return 0; }

int FakeNccl::comm_abort(comm::NcclHandle comm) {
  while (faults_.abort_hangs) std::this_thread::sleep_for(std::chrono::hours(1));
  static_cast<Communicator*>(comm)->abort();
  // As NCCL's: recordings that hold its calls must be gone first.
  while (static_cast<Communicator*>(comm)->is_held()) std::this_thread::sleep_for(kNap);
  return 0;
}

int FakeNccl::enqueue(comm::NcclHandle handle, const Call& call, comm::CudaStream stream) {
  auto* const communicator = static_cast<Communicator*>(handle);
  const int state = communicator->state();
  if (state == comm::kNcclInProgress) {
    return communicator->fail(kInvalidUsage, "used before its initialisation was complete");
  }
  if (state != 0) return state;
  const std::size_t bytes = call.record.count * size_of(call.record.dtype);
  if (!memory_->holds(call.in, bytes) || !memory_->holds(call.out, call.out_bytes)) {
    return communicator->fail(kInvalidArgument, "not memory of the device");
  }
  if (Tape* const tape = Tape::recording()) {
    tape->add([this, handle, call, stream, held = communicator->hold()] {
      run_now(handle, call, stream);
    });
    return 0;
  }
  return start(*communicator, call, stream);
}

// As part of a recording that is repeated: the next piece of it comes after its end.
void FakeNccl::run_now(comm::NcclHandle handle, const Call& call, comm::CudaStream stream) {
  if (start(*static_cast<Communicator*>(handle), call, stream) != 0) return;
  std::atomic<bool> done{false};
  static_cast<FakeStream*>(stream)->enqueue([&done](const std::atomic<bool>&) { done = true; });
  while (!done) std::this_thread::sleep_for(kNap);
}

int FakeNccl::start(Communicator& communicator, const Call& call, comm::CudaStream stream) {
  Call numbered = call;
  numbered.record.sequence = communicator.next_number();
  std::shared_ptr<Communicator> shared;
  {
    const std::scoped_lock lock(mutex_);
    shared = *std::find_if(communicators_.begin(), communicators_.end(),
                           [&](const auto& each) { return each.get() == &communicator; });
  }
  for (const void* memory :
       {static_cast<const void*>(call.in), static_cast<const void*>(call.out)}) {
    memory_->begin_use(memory);
  }
  static_cast<FakeStream*>(stream)->enqueue(
      [numbered, shared, memory = memory_](const std::atomic<bool>& stopping) {
        if (static_cast<std::int64_t>(numbered.record.sequence) == shared->faults().device_error) {
          memory->failed = true;
        }
        static_cast<void>(shared->run(numbered, stopping));
        memory->end_use(numbered.in);
        memory->end_use(numbered.out);
      });
  return 0;
}

int FakeNccl::all_reduce(const void* in, void* out, std::size_t count, comm::DType dtype,
                         comm::ReduceOp op, comm::NcclHandle comm, comm::CudaStream stream) {
  return enqueue(
      comm,
      {.record = {.count = count, .kind = CallKind::kAllReduce, .op = op, .dtype = dtype},
       .in = static_cast<const std::byte*>(in),
       .out = static_cast<std::byte*>(out),
       .out_bytes = count * size_of(dtype)},
      stream);
}

int FakeNccl::reduce_scatter(const void* in, void* out, std::size_t count, comm::DType dtype,
                             comm::ReduceOp op, comm::NcclHandle comm, comm::CudaStream stream) {
  const auto world = static_cast<std::size_t>(static_cast<Communicator*>(comm)->world());
  return enqueue(comm,
                 {.record = {.count = count * world,
                             .kind = CallKind::kReduceScatter,
                             .op = op,
                             .dtype = dtype},
                  .in = static_cast<const std::byte*>(in),
                  .out = static_cast<std::byte*>(out),
                  .out_bytes = count * size_of(dtype)},
                 stream);
}

int FakeNccl::all_gather(const void* in, void* out, std::size_t count, comm::DType dtype,
                         comm::NcclHandle comm, comm::CudaStream stream) {
  const auto world = static_cast<std::size_t>(static_cast<Communicator*>(comm)->world());
  return enqueue(comm,
                 {.record = {.count = count, .kind = CallKind::kAllGather, .dtype = dtype},
                  .in = static_cast<const std::byte*>(in),
                  .out = static_cast<std::byte*>(out),
                  .out_bytes = world * count * size_of(dtype)},
                 stream);
}

int FakeNccl::broadcast(const void* in, void* out, std::size_t count, comm::DType dtype, int root,
                        comm::NcclHandle comm, comm::CudaStream stream) {
  return enqueue(
      comm,
      {.record = {.count = count, .root = root, .kind = CallKind::kBroadcast, .dtype = dtype},
       .in = static_cast<const std::byte*>(in),
       .out = static_cast<std::byte*>(out),
       .out_bytes = count * size_of(dtype)},
      stream);
}

int FakeNccl::mem_alloc(void*& memory, std::size_t bytes) {
  memory = memory_->allocate(bytes);
  return 0;
}

int FakeNccl::mem_free(void* memory) {
  if (memory_->free(memory)) return 0;
  return complain("memory was freed that is no device's, or that a call in flight uses",
                  kInvalidUsage);
}

comm::DeviceApis make_fake_gpu(const Faults& faults) {
  return make_fake_gpu(faults, std::make_shared<FakeMemory>());
}

comm::DeviceApis make_fake_gpu(const Faults& faults, const std::shared_ptr<FakeMemory>& memory) {
  return {.nccl = std::make_shared<FakeNccl>(faults, memory),
          .cuda = std::make_shared<FakeCuda>(faults, memory)};
}

}  // namespace atelier::tests
