#include "launch/comm/host_comm.h"

#include <cstring>
#include <functional>
#include <new>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::comm {
namespace {

constexpr std::size_t kAlign = 128;

void check_memory(ConstBuffer buffer) {
  ATELIER_CHECK(buffer.place == Place::kHost, "this communicator moves host memory only");
  ATELIER_CHECK(buffer.data != nullptr || buffer.count == 0, "null data");
}

}  // namespace

void check_parts(ConstBuffer whole, ConstBuffer part, int world) {
  ATELIER_CHECK(whole.dtype == part.dtype, "in and out differ in dtype");
  ATELIER_CHECK(whole.count == part.count * static_cast<std::size_t>(world),
                text("the whole has ", whole.count, " elements, a rank's part ", part.count,
                     ", world is ", world));
}

std::byte* HostComm::allocate(std::size_t bytes) {
  ATELIER_CHECK(bytes > 0, "an allocation of 0 bytes");
  const std::size_t size = (bytes + kAlign - 1) / kAlign * kAlign;
  agree_on_allocation(size);
  std::byte* const memory = provide(size);
  regions_.push_back({memory, size});
  return memory;
}

void HostComm::agree_on_allocation(std::size_t bytes) {
  enter(prepare({.count = bytes, .kind = CallKind::kAllocate, .dtype = DType::kUInt8}, {}, nullptr,
                {}));
}

std::byte* HostComm::provide(std::size_t bytes) {
  own_memory_.emplace_back(
      static_cast<std::byte*>(::operator new (bytes, std::align_val_t{kAlign})));
  std::memset(own_memory_.back().get(), 0, bytes);
  return own_memory_.back().get();
}

void HostComm::FreeAligned::operator()(std::byte* memory) const {
  ::operator delete (memory, std::align_val_t{kAlign});
}

void HostComm::locate(const void* memory, CallRecord& call) const {
  const auto* const place = static_cast<const std::byte*>(memory);
  for (std::size_t i = 0; i < regions_.size(); ++i) {
    const Region& region = regions_[i];
    if (std::less_equal<>{}(region.begin, place) &&
        std::less<>{}(place, region.begin + region.bytes)) {
      call.region = static_cast<std::uint32_t>(i + 1);
      call.offset = static_cast<std::uint64_t>(place - region.begin);
    }
  }
}

void HostComm::all_reduce(Buffer data, ReduceOp op, const CallOptions& options) {
  CallRecord call{.kind = CallKind::kAllReduce, .op = op};
  locate(data.data, call);
  enter(prepare(call, data, data.data, options));
}

void HostComm::start_all_reduce(Buffer data, ReduceOp op, const CallOptions& options) {
  CallRecord call{.kind = CallKind::kAllReduce, .op = op};
  locate(data.data, call);
  Task task = prepare(call, data, data.data, options);
  task.background = true;
  if (world() == 1) return enter(task);
  static_cast<void>(recorder());  // it exists before another thread asks for it
  background_.start([this, task] { enter(task); });
}

void HostComm::reduce_scatter(ConstBuffer in, Buffer out, ReduceOp op, const CallOptions& options) {
  check_memory(out);
  check_parts(in, out, world());
  enter(prepare({.kind = CallKind::kReduceScatter, .op = op}, in, out.data, options));
}

void HostComm::all_gather(ConstBuffer in, Buffer out, const CallOptions& options) {
  check_memory(out);
  check_parts(out, in, world());
  enter(prepare({.kind = CallKind::kAllGather}, in, out.data, options));
}

void HostComm::broadcast(Buffer data, int root, const CallOptions& options) {
  ATELIER_CHECK(root >= 0 && root < world(), text("root ", root, " of ", world(), " ranks"));
  enter(prepare({.root = root, .kind = CallKind::kBroadcast}, data, data.data, options));
}

void HostComm::barrier(const CallOptions& options) {
  enter(prepare({.kind = CallKind::kBarrier}, {}, nullptr, options));
}

void HostComm::set_default_timeout(std::chrono::milliseconds timeout) {
  ATELIER_CHECK(timeout.count() > 0, "a deadline must lie in the future");
  default_timeout_ = timeout;
}

FlightRecorder& HostComm::recorder() {
  if (!recorder_) recorder_ = std::make_unique<FlightRecorder>(rank(), world());
  return *recorder_;
}

HostComm::Task HostComm::prepare(CallRecord call, ConstBuffer in, void* out,
                                 const CallOptions& options) {
  check_memory(in);
  call.sequence = ++sequence_;
  if (call.kind != CallKind::kAllocate) {
    call.count = in.count;
    call.dtype = in.dtype;
  }
  call.set_label(options.label);
  return {.call = call,
          .in = static_cast<const std::byte*>(in.data),
          .out = static_cast<std::byte*>(out),
          .timeout = options.timeout.count() > 0 ? options.timeout : default_timeout_};
}

void HostComm::enter(const Task& task) {
  if (!task.background) background_.wait();
  if (listener_) listener_(task.call);
  recorder().enter(task.call);  // a call that throws is never left
  exchange(task);
  recorder().leave();
}

}  // namespace atelier::comm
