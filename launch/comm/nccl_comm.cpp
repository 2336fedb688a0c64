#include "launch/comm/nccl_comm.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <mpi.h>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/device_copy.h"
#include "launch/comm/flight_recorder.h"
#include "launch/comm/in_flight.h"
#include "launch/comm/nccl_checks.h"
#include "launch/comm/nccl_link.h"
#include "launch/comm/nccl_start.h"
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
// A launch queue that is full (CUDA's holds some thousand) keeps the host inside CUDA, where no
// deadline reaches it.
constexpr std::size_t kMostInFlight = 128;
constexpr milliseconds kBusyTick{2};
constexpr milliseconds kIdleTick{20};
constexpr const char* kNextStep =
    "A rank named here is stopped, overloaded or gone; NCCL_DEBUG=INFO tells more. Resume from the "
    "last checkpoint.";

constexpr const char* kDeviceStep =
    "Look at nvidia-smi and the system log (dmesg) of that host; resume from the last checkpoint.";

std::string human(milliseconds time) {
  return human_seconds(std::chrono::duration<double>(time).count());
}

}  // namespace

class NcclComm::Impl {
 public:
  Impl(const MpiSession& session, std::unique_ptr<MpiComm> host, DeviceApis apis,
       const NcclOptions& options);
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  [[nodiscard]] MpiComm& host() { return *host_; }
  /// For calls on its memory.
  [[nodiscard]] MpiComm& host_calls();
  [[nodiscard]] bool host_can_touch() const { return apis_.cuda->host_can_touch(); }
  [[nodiscard]] bool on_device(ConstBuffer buffer) const;
  using Launch = std::function<int(NcclApi&, NcclHandle, CudaStream)>;
  /// Enqueues a call after what the caller's stream holds.
  void enqueue(CallRecord call, ConstBuffer in, const CallOptions& options, const Launch& launch);
  /// Waits until at most `most` calls have not ended; each has its own deadline.
  void wait_until_left(std::size_t most);
  /// `stream` goes on after what was enqueued last.
  void make_wait(CudaStream stream);
  void start(CudaStream stream);
  void finish_started();
  void synchronize();
  void begin_recording();
  std::size_t end_recording();
  void replay(std::size_t calls, const std::function<void()>& launch, const CallOptions& options);
  std::byte* allocate(std::size_t bytes);
  void copy(ConstBuffer from, Buffer to, const CallOptions& options);
  void close();
  [[noreturn]] void abort(std::string_view reason, int exit_code);

 private:
  struct Region {
    std::byte* begin;
    std::size_t bytes;
  };
  void open(milliseconds timeout);
  /// NCCL's stream goes on after what `stream` holds so far.
  void follow(CudaStream stream);
  /// Makes the call part of what `options.stream` records.
  void record(ConstBuffer in, const CallOptions& options, const Launch& launch);
  void number(CallRecord& call, std::string_view label);
  /// For others who ask.
  void note(const CallRecord& call);
  [[nodiscard]] bool only_recordings_hold_it();
  [[nodiscard]] Standing standing() const;
  enum class Who : std::uint8_t { kMain, kWatcher };
  /// Takes note of what has ended, and of what went wrong.
  void look(Who who);
  [[nodiscard]] CallRecord newest_call() const;
  /// "Rank 1 of 2, after all_reduce(...), call 17: ", or "in" a call.
  [[nodiscard]] std::string about(std::string_view where, const CallRecord& call) const;
  /// The one place where codes become errors, with the rank and its newest call.
  /// Throws: DeviceError.
  void check(int code, std::string_view what) const;
  void check_nccl(int code, std::string_view what, std::string_view next_step) const;
  /// Finds out why, ends what runs on the device, and keeps the report for the next call.
  void fail(Who who, const CallRecord& call, const Error& error);
  /// Main's: also waits for the report when the watcher was first, and throws it.
  [[noreturn]] void fail_now(const CallRecord& call, const Error& error);
  void answer();
  /// What a failure now is about: the oldest call in flight, or the one that is being launched.
  [[nodiscard]] CallRecord under_way() const;
  void launched();
  void throw_if_broken();
  void watch();
  void stop_watching();
  /// Looks until `done`; false when the deadline passes first.
  [[nodiscard]] bool poll(const std::function<bool()>& done, Clock::time_point deadline);
  struct Limit {
    milliseconds timeout;
    Clock::time_point end;
  };
  [[nodiscard]] Limit limit_of(const CallOptions& options) const;
  /// Waits for an event of this device alone; what it stands for is told when the limit is passed.
  void wait_for(CudaEvent event, const Limit& limit, std::string_view what);

  std::unique_ptr<MpiComm> host_;
  DeviceApis apis_;
  CudaStream stream_ = nullptr;
  CudaEvent caller_ = nullptr;  ///< what the caller's stream holds so far
  std::unique_ptr<InFlight> in_flight_;
  std::unique_ptr<DeviceCopy> copy_;
  NcclLink link_;
  std::unique_ptr<RollCall> roll_call_;
  std::vector<Region> regions_;
  bool started_ = false;
  CudaStream started_from_ = nullptr;
  bool recording_ = false;
  std::atomic<std::size_t> recordings_{0};  ///< so far, that hold calls
  std::size_t recorded_calls_ = 0;
  CudaEvent recorded_ = nullptr;  ///< the end of the last call that was recorded

  mutable std::mutex standing_mutex_;
  Standing standing_;
  CallRecord launching_;  ///< sequence 0: none

  int device_ = 0;
  std::mutex report_mutex_;
  std::string report_;
  ExitCode report_code_ = ExitCode::kPeerLost;
  std::atomic<bool> failing_{false};  ///< somebody is finding out why
  std::atomic<bool> broken_{false};   ///< the report is there
  std::atomic<bool> noticed_{false};  ///< by main
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
  const DeviceChoice choice =
      choose_device(*host_, *apis_.cuda, {.device = options.device, .share = options.share_device});
  device_ = choice.device;
  if (choice.shared) tell_ranks_apart(*host_);
  check(apis_.cuda->set_device(device_), text("cudaSetDevice(", device_, ")"));
  check(apis_.cuda->stream_create(stream_), "cudaStreamCreateWithPriority");
  for (CudaEvent* const event : {&caller_, &recorded_}) {
    check(apis_.cuda->event_create(*event), "cudaEventCreateWithFlags");
  }
  in_flight_ = std::make_unique<InFlight>(apis_.cuda);
  copy_ = std::make_unique<DeviceCopy>(
      apis_.cuda, [this](int code, std::string_view what) { check(code, what); });
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
      throw CommError(text(about("after", {}),
                           describe_nccl(*apis_.nccl, nullptr, code, "ncclGetUniqueId"), "."),
                      "Check NCCL_SOCKET_IFNAME, or run with NCCL_DEBUG=INFO.");
    }
  }
  host_->broadcast({id.data(), id.size(), DType::kUInt8}, 0, {.label = "NCCL's id"});
  CallRecord call{.kind = CallKind::kBarrier};
  number(call, "start of NCCL");
  try {
    if (!link_.open(host_->world(), id, host_->rank(), timeout)) {
      throw CommError(text("ncclCommInitRankConfig did not end within ", human(timeout), "."));
    }
  } catch (const Error& error) {
    fail_now(call, error);
  }
  launched();
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
  const std::scoped_lock lock(standing_mutex_);
  launching_ = call;
}

CallRecord NcclComm::Impl::newest_call() const {
  const Standing mine = standing();
  const CallRecord* const newest = mine.find(mine.entered);
  return newest == nullptr ? CallRecord{} : *newest;
}

std::string NcclComm::Impl::about(std::string_view where, const CallRecord& call) const {
  const std::string rank = text("Rank ", host_->rank(), " of ", host_->world());
  return call.sequence == 0 ? text(rank, ", before the first call: ")
                            : text(rank, ", ", where, " ", describe(call), ": ");
}

void NcclComm::Impl::check(int code, std::string_view what) const {
  if (code == 0) return;
  check_cuda(*apis_.cuda, code, text(about("after", newest_call()), what));
}

void NcclComm::Impl::check_nccl(int code, std::string_view what, std::string_view next_step) const {
  if (code == 0) return;
  throw DeviceError(
      text(about("after", newest_call()), describe_nccl(*apis_.nccl, nullptr, code, what), "."),
      std::string(next_step));
}

void NcclComm::Impl::launched() {
  const std::scoped_lock lock(standing_mutex_);
  launching_ = {};
}

CallRecord NcclComm::Impl::under_way() const {
  if (const auto oldest = in_flight_->oldest()) return *oldest;
  const std::scoped_lock lock(standing_mutex_);
  return launching_;
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
  if (recording_) return record(in, options, launch);
  wait_until_left(kMostInFlight - 1);
  call.count = in.count;
  call.dtype = in.dtype;
  number(call, options.label);
  if (in.count == 0) {
    launched();
    return host_->recorder().leave(call.sequence);
  }
  const milliseconds timeout = limit_of(options).timeout;
  try {
    follow(options.stream);
    const auto start = [&](NcclHandle comm) { return launch(*apis_.nccl, comm, stream_); };
    if (link_.launch(start, "the call", timeout)) {
      in_flight_->add(call, stream_, timeout);
      return launched();
    }
    throw CommError(text("NCCL did not take the call within ", human(timeout), "."));
  } catch (const Error& error) {
    // NCCL tells of what went wrong before at the next occasion.
    fail_now(under_way(), error);
  }
}

void NcclComm::Impl::follow(CudaStream stream) {
  CudaApi& cuda = *apis_.cuda;  // plain errors: the callers know the call
  check_cuda(cuda, cuda.event_record(caller_, stream), "cudaEventRecord");
  check_cuda(cuda, cuda.stream_wait_event(stream_, caller_), "cudaStreamWaitEvent");
}

// Events that are recorded stand for each repetition of the work, so nobody may ask them anything:
// the call is not tracked.
void NcclComm::Impl::record(ConstBuffer in, const CallOptions& options, const Launch& launch) {
  if (in.count == 0) return;
  follow(options.stream);
  const auto start = [&](NcclHandle comm) { return launch(*apis_.nccl, comm, stream_); };
  const milliseconds timeout = limit_of(options).timeout;
  try {
    if (!link_.launch(start, "the call", timeout)) {
      throw DeviceError(text("NCCL did not take a call to record within ", human(timeout), "."));
    }
  } catch (const CommError& refused) {
    throw DeviceError(text("NCCL does not let this call be recorded: ", refused.what()));
  }
  check(apis_.cuda->event_record(recorded_, stream_), "cudaEventRecord");
  ++recorded_calls_;
}

void NcclComm::Impl::begin_recording() {
  ATELIER_CHECK(!recording_, "a recording within a recording");
  synchronize();
  recorded_calls_ = 0;
  recording_ = true;
}

std::size_t NcclComm::Impl::end_recording() {
  ATELIER_CHECK(recording_, "a recording ends after it has begun");
  recording_ = false;
  started_ = false;  // where the work was left before its end
  if (recorded_calls_ > 0) ++recordings_;
  return recorded_calls_;
}

void NcclComm::Impl::replay(std::size_t calls, const std::function<void()>& launch,
                            const CallOptions& options) {
  throw_if_broken();
  wait_until_left(kMostInFlight - 1);
  CallRecord call{.count = calls, .kind = CallKind::kReplay};
  number(call, options.label);
  const milliseconds timeout = limit_of(options).timeout;
  in_flight_->expect(call, timeout);
  launched();
  try {
    launch();
    in_flight_->add(call, options.stream, timeout);
  } catch (...) {
    in_flight_->not_enqueued();
    throw;
  }
}

MpiComm& NcclComm::Impl::host_calls() {
  if (recording_) throw DeviceError("A device cannot repeat calls on the host's memory.");
  return *host_;
}

void NcclComm::Impl::start(CudaStream stream) {
  started_ = true;
  started_from_ = stream;
}

void NcclComm::Impl::make_wait(CudaStream stream) {
  if (recording_) {
    if (recorded_calls_ == 0) return;
    const int code = apis_.cuda->stream_wait_event(stream, recorded_);
    return check(code, "cudaStreamWaitEvent");
  }
  if (CudaEvent const newest = in_flight_->newest(); newest != nullptr) {
    check(apis_.cuda->stream_wait_event(stream, newest), "cudaStreamWaitEvent");
  }
  throw_if_broken();  // what an abort ends looks as if it had come to its end
}

void NcclComm::Impl::finish_started() {
  throw_if_broken();
  if (std::exchange(started_, false)) make_wait(started_from_);
}

bool NcclComm::Impl::poll(const std::function<bool()>& done, Clock::time_point deadline) {
  Waiter waiter(Manner::kYield, deadline);
  while (!done()) {
    look(Who::kMain);
    throw_if_broken();
    if (!waiter.pause()) return false;
  }
  throw_if_broken();
  return true;
}

void NcclComm::Impl::wait_for(CudaEvent event, const Limit& limit, std::string_view what) {
  const auto passed = [&] {
    const int state = apis_.cuda->event_query(event);
    if (state != kCudaNotReady) check(state, "cudaEventQuery");
    return state == 0;
  };
  if (poll(passed, limit.end)) return;
  throw DeviceError(text(about("after", newest_call()), "device ", device_, " did not ", what,
                         " within ", human(limit.timeout), "."),
                    kDeviceStep);
}

void NcclComm::Impl::synchronize() {
  finish_started();
  wait_until_left(0);
}

void NcclComm::Impl::wait_until_left(std::size_t most) {
  const auto few_are_left = [&] { return in_flight_->size() <= most; };
  while (!poll(few_are_left, Clock::now() + std::chrono::hours(1))) {
  }
}

std::byte* NcclComm::Impl::allocate(std::size_t bytes) {
  ATELIER_CHECK(!recording_, "memory cannot be allocated in a recording");
  ATELIER_CHECK(bytes > 0, "an allocation of 0 bytes");
  synchronize();  // to allocate may wait for the device
  const std::size_t size = (bytes + kAlign - 1) / kAlign * kAlign;
  host_->agree_on_allocation(size);
  void* memory = nullptr;
  const std::string what = text("ncclMemAlloc of ", human_bytes(size));
  check_nccl(apis_.nccl->mem_alloc(memory, size), what,
             "Gradients lie there: choose a smaller model, or a device with more memory.");
  regions_.push_back({static_cast<std::byte*>(memory), size});
  check(apis_.cuda->memset_async(memory, 0, size, stream_), "cudaMemsetAsync");
  check(apis_.cuda->event_record(caller_, stream_), "cudaEventRecord");
  wait_for(caller_, limit_of({}), text("zero ", human_bytes(size)));
  return static_cast<std::byte*>(memory);
}

void NcclComm::Impl::copy(ConstBuffer from, Buffer to, const CallOptions& options) {
  check_copy(from, to);
  synchronize();  // what stands behind a peer would hold the copy up for as long
  const Limit limit = limit_of(options);
  check(apis_.cuda->event_record(caller_, options.stream), "cudaEventRecord");
  wait_for(caller_, limit, "end what its stream held before a copy");
  const std::string what = text("copy ", human_bytes(to.bytes()));
  copy_->copy({.memory = const_cast<void*>(from.data), .on_device = on_device(from)},
              {.memory = to.data, .on_device = on_device(to)}, to.bytes(),
              [&](CudaEvent event) { wait_for(event, limit, what); });
}

NcclComm::Impl::Limit NcclComm::Impl::limit_of(const CallOptions& options) const {
  const milliseconds timeout =
      options.timeout.count() > 0 ? options.timeout : host_->default_timeout();
  return {.timeout = timeout, .end = Clock::now() + timeout};
}

void NcclComm::Impl::look(Who who) {
  const CallRecord oldest = under_way();
  try {
    for (const std::uint64_t sequence : in_flight_->retire()) host_->recorder().leave(sequence);
    if (failing_) return;
    if (const std::string trouble = link_.trouble(); !trouble.empty()) {
      throw CommError(trouble + ".");
    }
    if (const auto late = in_flight_->overdue()) {
      fail(
          who, late->call,
          CommError(text("waited ", human(late->timeout), " for a device, its own or another's.")));
    }
  } catch (const Error& error) {
    fail(who, oldest, error);
  }
}

void NcclComm::Impl::answer() {
  try {
    roll_call_->answer(standing());
  } catch (const CommError&) {  // the others will miss the answer, and say so
  }
}

void NcclComm::Impl::fail(Who who, const CallRecord& call, const Error& error) {
  if (failing_.exchange(true)) return;
  if (who == Who::kMain) noticed_ = true;
  std::string report = text(about("in", call), error.what());
  try {
    if (call.sequence > 0) {
      const std::string why = explain(call, host_->rank(), roll_call_->ask(standing(), kAnswers));
      if (!why.empty()) report += " " + why;
    }
  } catch (const CommError& unanswered) {
    report += text(" ", unanswered.what());
  }
  {
    const std::scoped_lock lock(report_mutex_);
    report_ = report;
    report_code_ = error.exit_code();
  }
  // Before the abort, which makes it look as if the calls had come to their end.
  broken_since_ = Clock::now().time_since_epoch().count();
  broken_ = true;
  if (!link_.abort(kAbort, [this] { answer(); }) && !only_recordings_hold_it()) {
    host_->abort(text(report, " ncclCommAbort did not come back either."),
                 static_cast<int>(ExitCode::kPeerLost));
  }
}

// NCCL's abort returns only when the recordings that hold its calls are gone. Their owner lets go
// of them when it hears of this; the device is free by then, as what it was doing has ended.
bool NcclComm::Impl::only_recordings_hold_it() {
  if (recordings_ == 0) return false;
  try {
    static_cast<void>(in_flight_->retire());
  } catch (const DeviceError&) {  // a device that has failed does nothing any more
    return true;
  }
  return in_flight_->empty();
}

void NcclComm::Impl::fail_now(const CallRecord& call, const Error& error) {
  fail(Who::kMain, call, error);
  while (!broken_) std::this_thread::sleep_for(kBusyTick);
  throw_if_broken();
  std::abort();  // not reached: it is broken
}

void NcclComm::Impl::throw_if_broken() {
  if (!broken_) return;
  noticed_ = true;
  const std::scoped_lock lock(report_mutex_);
  if (report_code_ == ExitCode::kInternal) throw DeviceError(report_, kDeviceStep);
  throw CommError(report_, kNextStep);
}

void NcclComm::Impl::watch() {
  // The device of a thread is its own; without this it would make a context on the first one.
  static_cast<void>(apis_.cuda->set_device(device_));
  std::unique_lock lock(watch_mutex_);
  while (!ending_) {
    lock.unlock();
    look(Who::kWatcher);
    answer();
    if (broken_ && !noticed_) {
      const Clock::duration now = Clock::now().time_since_epoch();
      if (now - Clock::duration(broken_since_) > kNotice) {
        const std::scoped_lock report_lock(report_mutex_);
        host_->abort(report_, static_cast<int>(report_code_));
      }
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
    throw CommError(text("ncclCommFinalize of rank ", host_->rank(), " of ", host_->world(),
                         " did not end within ", human(host_->default_timeout()), "."),
                    kNextStep);
  }
  host_->barrier({.label = "NCCL has ended"});  // nobody asks any more
  stop_watching();
  roll_call_->close();
  for (const Region& region : regions_) {
    check_nccl(apis_.nccl->mem_free(region.begin), "ncclMemFree", kDeviceStep);
  }
  regions_.clear();
  in_flight_->close();
  copy_->close();
  for (const CudaEvent event : {caller_, recorded_}) {
    check(apis_.cuda->event_destroy(event), "cudaEventDestroy");
  }
  check(apis_.cuda->stream_destroy(stream_), "cudaStreamDestroy");
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

bool NcclComm::host_can_touch() const { return impl_->host_can_touch(); }
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
  // On the host at once: device calls and a thread of the host's would meet in the recorder.
  if (!impl_->on_device(data)) return impl_->host_calls().all_reduce(data, op, options);
  impl_->enqueue({.kind = CallKind::kAllReduce, .op = op}, data, options,
                 [&](NcclApi& nccl, NcclHandle comm, CudaStream stream) {
                   return nccl.all_reduce(data.data, data.data, data.count, data.dtype, op, comm,
                                          stream);
                 });
  impl_->start(options.stream);
}

void NcclComm::all_reduce(Buffer data, ReduceOp op, const CallOptions& options) {
  if (!impl_->on_device(data)) return impl_->host_calls().all_reduce(data, op, options);
  start_all_reduce(data, op, options);
  finish_started();
}

void NcclComm::copy(ConstBuffer from, Buffer to, const CallOptions& options) {
  impl_->copy(from, to, options);
}

void NcclComm::begin_recording() { impl_->begin_recording(); }
std::size_t NcclComm::end_recording() { return impl_->end_recording(); }
void NcclComm::replay(std::size_t calls, const std::function<void()>& launch,
                      const CallOptions& options) {
  impl_->replay(calls, launch, options);
}
void NcclComm::finish_started() { impl_->finish_started(); }
void NcclComm::synchronize() { impl_->synchronize(); }

void NcclComm::reduce_scatter(ConstBuffer in, Buffer out, ReduceOp op, const CallOptions& options) {
  ATELIER_CHECK(impl_->on_device(in) == impl_->on_device(out), "in and out lie apart");
  if (!impl_->on_device(in)) return impl_->host_calls().reduce_scatter(in, out, op, options);
  check_parts(in, out, world());
  impl_->enqueue({.kind = CallKind::kReduceScatter, .op = op}, in, options,
                 [&](NcclApi& nccl, NcclHandle comm, CudaStream stream) {
                   return nccl.reduce_scatter(in.data, out.data, out.count, in.dtype, op, comm,
                                              stream);
                 });
  impl_->make_wait(options.stream);
}

void NcclComm::all_gather(ConstBuffer in, Buffer out, const CallOptions& options) {
  ATELIER_CHECK(impl_->on_device(in) == impl_->on_device(out), "in and out lie apart");
  if (!impl_->on_device(in)) return impl_->host_calls().all_gather(in, out, options);
  check_parts(out, in, world());
  impl_->enqueue({.kind = CallKind::kAllGather}, in, options,
                 [&](NcclApi& nccl, NcclHandle comm, CudaStream stream) {
                   return nccl.all_gather(in.data, out.data, in.count, in.dtype, comm, stream);
                 });
  impl_->make_wait(options.stream);
}

void NcclComm::broadcast(Buffer data, int root, const CallOptions& options) {
  if (!impl_->on_device(data)) return impl_->host_calls().broadcast(data, root, options);
  ATELIER_CHECK(root >= 0 && root < world(), text("root ", root, " of ", world(), " ranks"));
  impl_->enqueue({.root = root, .kind = CallKind::kBroadcast}, data, options,
                 [&](NcclApi& nccl, NcclHandle comm, CudaStream stream) {
                   return nccl.broadcast(data.data, data.data, data.count, data.dtype, root, comm,
                                         stream);
                 });
  impl_->make_wait(options.stream);
}

void NcclComm::barrier(const CallOptions& options) { impl_->host_calls().barrier(options); }
void NcclComm::close() { impl_->close(); }
void NcclComm::abort(std::string_view reason, int exit_code) { impl_->abort(reason, exit_code); }

}  // namespace atelier::comm
