#include "launch/comm/nccl_comm.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <mpi.h>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/flight_recorder.h"
#include "launch/comm/handshake.h"
#include "launch/comm/in_flight.h"
#include "launch/comm/nccl_checks.h"
#include "launch/comm/nccl_link.h"
#include "launch/comm/roll_call.h"
#include "launch/comm/waiter.h"

namespace atelier::comm {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kAlign = 128;
// After a deadline has passed: for the others' answers, for NCCL to come back from an abort, for
// the rank to notice. Together less than the five seconds that are promised.
constexpr milliseconds kAnswers{1000};
constexpr milliseconds kAbort{3000};
constexpr milliseconds kNotice{2000};
constexpr milliseconds kBusyTick{2};
constexpr milliseconds kIdleTick{20};
constexpr const char* kNextStep =
    "A rank named here is stopped, overloaded or gone; NCCL_DEBUG=INFO tells more. Resume from the "
    "last checkpoint.";

/// The device of this rank; all ranks come to the same verdict about all of them.
int choose_device(MpiComm& host, const CudaApi& cuda, const NcclOptions& options) {
  const int devices = device_count(cuda);
  int device = options.device >= 0 ? options.device : host.local_rank();
  if (device >= devices && options.share_device) device %= devices;
  struct Seat {
    std::int64_t host;
    std::int64_t devices;
    std::array<char, 32> bus_id;
  };
  Seat mine{.host = host.host(), .devices = devices, .bus_id = {}};
  if (device < devices) {
    std::string id;
    check_cuda(cuda, cuda.get_bus_id(device, id), "cudaDeviceGetPCIBusId");
    std::copy_n(id.begin(), std::min(id.size(), mine.bus_id.size() - 1), mine.bus_id.begin());
  }
  std::vector<Seat> seats(static_cast<std::size_t>(host.world()));
  host.all_gather({&mine, sizeof(Seat), DType::kUInt8},
                  {seats.data(), seats.size() * sizeof(Seat), DType::kUInt8},
                  {.label = "devices of the ranks"});
  for (std::size_t rank = 0; rank < seats.size(); ++rank) {
    if (seats[rank].bus_id[0] == '\0') {
      throw RefusedError(text("There is no GPU for rank ", rank, ": its host has ",
                              seats[rank].devices, " that this job may use."),
                         "Start fewer ranks per host (mpirun --map-by ppr:N:node), or see "
                         "CUDA_VISIBLE_DEVICES.");
    }
    for (std::size_t other = 0; other < rank && !options.share_device; ++other) {
      if (seats[other].host != seats[rank].host || seats[other].bus_id != seats[rank].bus_id)
        continue;
      throw RefusedError(text("Ranks ", other, " and ", rank, " would share the GPU ",
                              seats[rank].bus_id.data(), "."),
                         "Start one rank per GPU.");
    }
  }
  return device;
}

void require_same_libraries(MpiComm& host, const DeviceApis& apis) {
  const std::vector<NamedText> items{{"NCCL", nccl_version(*apis.nccl)},
                                     {"CUDA runtime", cuda_version(*apis.cuda)},
                                     {"CUDA of the driver", driver_version(*apis.cuda)}};
  require_equal(host, items);
}

}  // namespace

class NcclComm::Impl {
 public:
  Impl(const MpiSession& session, std::unique_ptr<MpiComm> host, DeviceApis apis,
       const NcclOptions& options);
  ~Impl();

  [[nodiscard]] MpiComm& host() { return *host_; }
  [[nodiscard]] bool on_device(ConstBuffer buffer) const;
  using Launch = std::function<int(NcclApi&, NcclHandle, CudaStream)>;
  /// Enqueues a call after what the caller's stream holds.
  void enqueue(CallRecord call, ConstBuffer in, const CallOptions& options, const Launch& launch);
  void make_wait(CudaStream stream) { in_flight_->make_wait(stream); }
  void start(CudaStream stream);
  void finish_started();
  void synchronize();
  std::byte* allocate(std::size_t bytes);
  void close();
  [[noreturn]] void abort(std::string_view reason, int exit_code);

 private:
  struct Region {
    std::byte* begin;
    std::size_t bytes;
  };
  void open(milliseconds timeout);
  void number(CallRecord& call, std::string_view label);
  /// For others who ask.
  void note(const CallRecord& call);
  [[nodiscard]] Standing standing() const;
  /// Takes note of what has ended, and of what went wrong.
  void look();
  /// Finds out why, ends what runs on the device, and keeps the report for the next call.
  void fail(const CallRecord& call, const std::string& what);
  void throw_if_broken();
  void watch();
  void stop_watching();
  void poll(const std::function<bool()>& done);

  std::unique_ptr<MpiComm> host_;
  DeviceApis apis_;
  CudaStream stream_ = nullptr;
  CudaEvent caller_ = nullptr;  ///< what the caller's stream holds so far
  std::unique_ptr<InFlight> in_flight_;
  NcclLink link_;
  std::unique_ptr<RollCall> roll_call_;
  std::vector<Region> regions_;
  bool started_ = false;
  CudaStream started_from_ = nullptr;

  mutable std::mutex standing_mutex_;
  Standing standing_;

  std::mutex failure_mutex_;  ///< guards report_
  std::string report_;
  std::atomic<bool> broken_{false};
  std::atomic<bool> noticed_{false};
  std::atomic<Clock::rep> broken_since_{0};

  std::mutex watch_mutex_;  ///< guards ending_
  std::condition_variable watch_changed_;
  bool ending_ = false;
  std::thread watcher_;
};

NcclComm::Impl::Impl(const MpiSession& session, std::unique_ptr<MpiComm> host, DeviceApis apis,
                     const NcclOptions& options)
    : host_(std::move(host)), apis_(std::move(apis)), link_(apis_.nccl) {
  if (!session.multithreaded()) {
    throw RefusedError(
        "The backend nccl calls MPI from two threads, which this MPI does not allow.",
        "Use an MPI built with MPI_THREAD_MULTIPLE.");
  }
  host_->on_call([this](const CallRecord& call) { note(call); });
  require_same_libraries(*host_, apis_);
  const int device = choose_device(*host_, *apis_.cuda, options);
  check_cuda(*apis_.cuda, apis_.cuda->set_device(device), text("cudaSetDevice(", device, ")"));
  check_cuda(*apis_.cuda, apis_.cuda->stream_create(stream_), "cudaStreamCreateWithPriority");
  check_cuda(*apis_.cuda, apis_.cuda->event_create(caller_), "cudaEventCreateWithFlags");
  in_flight_ = std::make_unique<InFlight>(apis_.cuda);
  roll_call_ = std::make_unique<RollCall>(MPI_COMM_WORLD);
  watcher_ = std::thread([this] { watch(); });
  try {
    open(options.timeout);
  } catch (...) {
    stop_watching();
    throw;
  }
}

void NcclComm::Impl::open(milliseconds timeout) {
  NcclId id{};
  if (host_->rank() == 0) {
    const int code = apis_.nccl->get_unique_id(id);
    if (code != 0) {
      throw CommError(text(describe_nccl(*apis_.nccl, nullptr, code, "ncclGetUniqueId"), "."),
                      "Check NCCL_SOCKET_IFNAME, or run with NCCL_DEBUG=INFO.");
    }
  }
  host_->broadcast({id.data(), id.size(), DType::kUInt8}, 0, {.label = "NCCL's id"});
  CallRecord call{.kind = CallKind::kBarrier};
  number(call, "start of NCCL");
  if (!link_.open(host_->world(), id, host_->rank(), timeout)) {
    fail(call, text("ncclCommInitRankConfig did not end within ",
                    human_seconds(std::chrono::duration<double>(timeout).count()), "."));
    throw_if_broken();
  }
  host_->recorder().leave(call.sequence);
  host_->barrier({.label = "NCCL has started"});
}

NcclComm::Impl::~Impl() {
  stop_watching();
  // After an orderly end nothing is left to abort. Memory and stream go with the process otherwise:
  // to free them might wait for a device that waits for a peer.
  static_cast<void>(link_.abort(kAbort));
}

bool NcclComm::Impl::on_device(ConstBuffer buffer) const {
  if (buffer.place == Place::kCuda) return true;
  const auto* const place = static_cast<const std::byte*>(buffer.data);
  return std::any_of(regions_.begin(), regions_.end(), [&](const Region& region) {
    return std::less_equal<>{}(region.begin, place) &&
           std::less<>{}(place, region.begin + region.bytes);
  });
}

void NcclComm::Impl::number(CallRecord& call, std::string_view label) {
  call.sequence = host_->take_number();
  call.set_label(label);
  host_->recorder().enter(call);
  note(call);
}

void NcclComm::Impl::note(const CallRecord& call) {
  const std::scoped_lock lock(standing_mutex_);
  standing_.add(call);
}

Standing NcclComm::Impl::standing() const {
  const std::scoped_lock lock(standing_mutex_);
  return standing_;
}

void NcclComm::Impl::enqueue(CallRecord call, ConstBuffer in, const CallOptions& options,
                             const Launch& launch) {
  ATELIER_CHECK(in.data != nullptr || in.count == 0, "null data");
  throw_if_broken();
  call.count = in.count;
  call.dtype = in.dtype;
  number(call, options.label);
  if (in.count == 0) return host_->recorder().leave(call.sequence);
  CudaApi& cuda = *apis_.cuda;
  check_cuda(cuda, cuda.event_record(caller_, options.stream), "cudaEventRecord");
  check_cuda(cuda, cuda.stream_wait_event(stream_, caller_), "cudaStreamWaitEvent");
  const milliseconds timeout =
      options.timeout.count() > 0 ? options.timeout : host_->default_timeout();
  try {
    const auto start = [&](NcclHandle comm) { return launch(*apis_.nccl, comm, stream_); };
    if (link_.launch(start, "the call", timeout)) return in_flight_->add(call, stream_, timeout);
    fail(call, "NCCL did not take the call by its deadline.");
  } catch (const Error& error) {
    // NCCL tells of what went wrong before at the next occasion.
    fail(in_flight_->oldest().value_or(call), error.what());
  }
  throw_if_broken();
}

void NcclComm::Impl::start(CudaStream stream) {
  started_ = true;
  started_from_ = stream;
}

void NcclComm::Impl::finish_started() {
  throw_if_broken();
  if (std::exchange(started_, false)) in_flight_->make_wait(started_from_);
  host_->finish_started();
}

void NcclComm::Impl::poll(const std::function<bool()>& done) {
  Waiter waiter(Manner::kYield, Clock::time_point::max());  // each call has its own deadline
  while (!done()) {
    look();
    throw_if_broken();
    static_cast<void>(waiter.pause());
  }
}

void NcclComm::Impl::synchronize() {
  finish_started();
  poll([this] { return in_flight_->empty(); });
  throw_if_broken();
}

std::byte* NcclComm::Impl::allocate(std::size_t bytes) {
  ATELIER_CHECK(bytes > 0, "an allocation of 0 bytes");
  throw_if_broken();
  const std::size_t size = (bytes + kAlign - 1) / kAlign * kAlign;
  host_->agree_on_allocation(size);
  void* memory = nullptr;
  const int code = apis_.nccl->mem_alloc(memory, size);
  if (code != 0) {
    throw DeviceError(
        text(describe_nccl(*apis_.nccl, nullptr, code, text("ncclMemAlloc of ", human_bytes(size))),
             "."),
        "Lower train.batch, or raise train.accumulation.");
  }
  regions_.push_back({static_cast<std::byte*>(memory), size});
  CudaApi& cuda = *apis_.cuda;
  check_cuda(cuda, cuda.memset_async(memory, 0, size, stream_), "cudaMemsetAsync");
  check_cuda(cuda, cuda.event_record(caller_, stream_), "cudaEventRecord");
  poll([&] {
    const int state = cuda.event_query(caller_);
    if (state != kCudaNotReady) check_cuda(cuda, state, "cudaEventQuery");
    return state == 0;
  });
  return static_cast<std::byte*>(memory);
}

void NcclComm::Impl::look() {
  try {
    for (const std::uint64_t sequence : in_flight_->retire()) host_->recorder().leave(sequence);
    if (broken_) return;
    const CallRecord oldest = in_flight_->oldest().value_or(CallRecord{});
    if (const std::string trouble = link_.trouble(); !trouble.empty()) {
      return fail(oldest, trouble + ".");
    }
    if (const auto late = in_flight_->overdue()) {
      fail(late->call, text("rank ", host_->rank(), " of ", host_->world(), " waited ",
                            human_seconds(std::chrono::duration<double>(late->timeout).count()),
                            " for a device, its own or another's."));
    }
  } catch (const Error& error) {
    fail(in_flight_->oldest().value_or(CallRecord{}), error.what());
  }
}

void NcclComm::Impl::fail(const CallRecord& call, const std::string& what) {
  const std::scoped_lock lock(failure_mutex_);
  if (broken_) return;
  std::string why;
  try {
    if (call.sequence > 0) {
      why = explain(call, host_->rank(), roll_call_->ask(standing(), kAnswers));
    }
  } catch (const CommError& error) {
    why = error.what();
  }
  report_ = text(call.sequence == 0 ? "Between calls" : describe(call), ": ", what,
                 why.empty() ? "" : " ", why);
  // Before the abort: what it ends looks as if it had come to its end.
  broken_since_ = Clock::now().time_since_epoch().count();
  broken_ = true;
  if (!link_.abort(kAbort)) {
    host_->abort(text(report_, " ncclCommAbort did not come back either."),
                 static_cast<int>(ExitCode::kPeerLost));
  }
}

void NcclComm::Impl::throw_if_broken() {
  if (!broken_) return;
  noticed_ = true;
  const std::scoped_lock lock(failure_mutex_);
  throw CommError(report_, kNextStep);
}

void NcclComm::Impl::watch() {
  std::unique_lock lock(watch_mutex_);
  while (!ending_) {
    lock.unlock();
    look();
    try {
      roll_call_->answer(standing());
    } catch (const CommError& error) {
      fail({}, error.what());
    }
    const Clock::duration since = Clock::now().time_since_epoch() - Clock::duration(broken_since_);
    if (broken_ && !noticed_ && since > kNotice) {
      host_->abort(report_, static_cast<int>(ExitCode::kPeerLost));
    }
    lock.lock();
    watch_changed_.wait_for(lock, in_flight_->empty() ? kIdleTick : kBusyTick,
                            [this] { return ending_; });
  }
}

void NcclComm::Impl::stop_watching() {
  {
    const std::scoped_lock lock(watch_mutex_);
    ending_ = true;
  }
  watch_changed_.notify_all();
  if (watcher_.joinable()) watcher_.join();
}

void NcclComm::Impl::close() {
  synchronize();
  host_->barrier({.label = "end of the job"});
  if (!link_.close(host_->default_timeout())) {
    throw CommError("ncclCommFinalize did not end by its deadline.", kNextStep);
  }
  host_->barrier({.label = "NCCL has ended"});  // nobody asks any more
  stop_watching();
  roll_call_->close();
  for (const Region& region : regions_) static_cast<void>(apis_.nccl->mem_free(region.begin));
  regions_.clear();
  in_flight_.reset();
  check_cuda(*apis_.cuda, apis_.cuda->event_destroy(caller_), "cudaEventDestroy");
  check_cuda(*apis_.cuda, apis_.cuda->stream_destroy(stream_), "cudaStreamDestroy");
  host_->close();
}

void NcclComm::Impl::abort(std::string_view reason, int exit_code) {
  noticed_ = true;
  static_cast<void>(link_.abort(kAbort));
  host_->abort(reason, exit_code);
}

NcclComm::NcclComm(const MpiSession& session, std::unique_ptr<MpiComm> host, DeviceApis apis,
                   const NcclOptions& options)
    : impl_(std::make_unique<Impl>(session, std::move(host), std::move(apis), options)) {
  set_default_timeout(options.timeout);
}
NcclComm::~NcclComm() = default;

int NcclComm::rank() const { return impl_->host().rank(); }
int NcclComm::world() const { return impl_->host().world(); }
int NcclComm::local_rank() const { return impl_->host().local_rank(); }
int NcclComm::hosts() const { return impl_->host().hosts(); }
std::uint64_t NcclComm::sequence() const { return impl_->host().sequence(); }
FlightRecorder& NcclComm::recorder() { return impl_->host().recorder(); }
void NcclComm::set_default_timeout(milliseconds timeout) {
  impl_->host().set_default_timeout(timeout);
}

std::byte* NcclComm::allocate(std::size_t bytes) { return impl_->allocate(bytes); }

void NcclComm::start_all_reduce(Buffer data, ReduceOp op, const CallOptions& options) {
  if (!impl_->on_device(data)) return impl_->host().start_all_reduce(data, op, options);
  impl_->enqueue({.kind = CallKind::kAllReduce, .op = op}, data, options,
                 [&](NcclApi& nccl, NcclHandle comm, CudaStream stream) {
                   return nccl.all_reduce(data.data, data.data, data.count, data.dtype, op, comm,
                                          stream);
                 });
  impl_->start(options.stream);
}

void NcclComm::all_reduce(Buffer data, ReduceOp op, const CallOptions& options) {
  if (!impl_->on_device(data)) return impl_->host().all_reduce(data, op, options);
  start_all_reduce(data, op, options);
  finish_started();
}

void NcclComm::finish_started() { impl_->finish_started(); }
void NcclComm::synchronize() { impl_->synchronize(); }

void NcclComm::reduce_scatter(ConstBuffer in, Buffer out, ReduceOp op, const CallOptions& options) {
  if (!impl_->on_device(in)) return impl_->host().reduce_scatter(in, out, op, options);
  ATELIER_CHECK(in.dtype == out.dtype, "in and out differ in dtype");
  ATELIER_CHECK(in.count == out.count * static_cast<std::size_t>(world()),
                text("in has ", in.count, " elements, out ", out.count, ", world is ", world()));
  impl_->enqueue({.kind = CallKind::kReduceScatter, .op = op}, in, options,
                 [&](NcclApi& nccl, NcclHandle comm, CudaStream stream) {
                   return nccl.reduce_scatter(in.data, out.data, out.count, in.dtype, op, comm,
                                              stream);
                 });
  impl_->make_wait(options.stream);
}

void NcclComm::all_gather(ConstBuffer in, Buffer out, const CallOptions& options) {
  if (!impl_->on_device(in)) return impl_->host().all_gather(in, out, options);
  ATELIER_CHECK(in.dtype == out.dtype, "in and out differ in dtype");
  ATELIER_CHECK(out.count == in.count * static_cast<std::size_t>(world()),
                text("in has ", in.count, " elements, out ", out.count, ", world is ", world()));
  impl_->enqueue({.kind = CallKind::kAllGather}, in, options,
                 [&](NcclApi& nccl, NcclHandle comm, CudaStream stream) {
                   return nccl.all_gather(in.data, out.data, in.count, in.dtype, comm, stream);
                 });
  impl_->make_wait(options.stream);
}

void NcclComm::broadcast(Buffer data, int root, const CallOptions& options) {
  if (!impl_->on_device(data)) return impl_->host().broadcast(data, root, options);
  ATELIER_CHECK(root >= 0 && root < world(), text("root ", root, " of ", world(), " ranks"));
  impl_->enqueue({.root = root, .kind = CallKind::kBroadcast}, data, options,
                 [&](NcclApi& nccl, NcclHandle comm, CudaStream stream) {
                   return nccl.broadcast(data.data, data.data, data.count, data.dtype, root, comm,
                                         stream);
                 });
  impl_->make_wait(options.stream);
}

void NcclComm::barrier(const CallOptions& options) { impl_->host().barrier(options); }
void NcclComm::close() { impl_->close(); }
void NcclComm::abort(std::string_view reason, int exit_code) { impl_->abort(reason, exit_code); }

}  // namespace atelier::comm
