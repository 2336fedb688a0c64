#include "launch/comm/host_comm.h"

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::comm {
namespace {

void check_memory(ConstBuffer buffer) {
  ATELIER_CHECK(buffer.place == Place::kHost, "this communicator moves host memory only");
  ATELIER_CHECK(buffer.data != nullptr || buffer.count == 0, "null data");
}

}  // namespace

void HostComm::all_reduce(Buffer data, ReduceOp op, const CallOptions& options) {
  enter({.kind = CallKind::kAllReduce, .op = op}, data, data.data, options);
}

void HostComm::reduce_scatter(ConstBuffer in, Buffer out, ReduceOp op, const CallOptions& options) {
  check_memory(out);
  ATELIER_CHECK(in.dtype == out.dtype, "in and out differ in dtype");
  ATELIER_CHECK(in.count == out.count * static_cast<std::size_t>(world()),
                text("in has ", in.count, " elements, out ", out.count, ", world is ", world()));
  enter({.kind = CallKind::kReduceScatter, .op = op}, in, out.data, options);
}

void HostComm::all_gather(ConstBuffer in, Buffer out, const CallOptions& options) {
  check_memory(out);
  ATELIER_CHECK(in.dtype == out.dtype, "in and out differ in dtype");
  ATELIER_CHECK(out.count == in.count * static_cast<std::size_t>(world()),
                text("in has ", in.count, " elements, out ", out.count, ", world is ", world()));
  enter({.kind = CallKind::kAllGather}, in, out.data, options);
}

void HostComm::broadcast(Buffer data, int root, const CallOptions& options) {
  ATELIER_CHECK(root >= 0 && root < world(), text("root ", root, " of ", world(), " ranks"));
  enter({.root = root, .kind = CallKind::kBroadcast}, data, data.data, options);
}

void HostComm::barrier(const CallOptions& options) {
  enter({.kind = CallKind::kBarrier}, {}, nullptr, options);
}

void HostComm::set_default_timeout(std::chrono::milliseconds timeout) {
  ATELIER_CHECK(timeout.count() > 0, "a deadline must lie in the future");
  default_timeout_ = timeout;
}

void HostComm::enter(CallRecord call, ConstBuffer in, void* out, const CallOptions& options) {
  check_memory(in);
  call.sequence = ++sequence_;
  call.count = in.count;
  call.dtype = in.dtype;
  call.set_label(options.label);
  exchange({.call = call,
            .in = static_cast<const std::byte*>(in.data),
            .out = static_cast<std::byte*>(out),
            .timeout = options.timeout.count() > 0 ? options.timeout : default_timeout_});
}

}  // namespace atelier::comm
