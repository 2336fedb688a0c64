// Collectives between GPUs by NCCL, on buffers in device memory; buffers in host memory, agreements
// and barriers go through MPI. A call on a device returns once it is enqueued on the stream of
// communication, which waits for what the caller's stream holds so far; the caller's stream goes on
// after it. A thread watches: calls that take longer than their deadline, errors that NCCL meets
// later, ranks that ask where this one is. It then finds out by roll call whom the call waits for,
// aborts the communicator, so that no wait for the device is eternal, and the next call throws what
// it found; when there is none within seconds, it ends the job. Results are the same on every
// rank and in every run with the same ranks; unlike on hosts the order of a sum is NCCL's.
// Thread safety: as Comm.
#pragma once

#include <memory>

#include "launch/comm/mpi_comm.h"
#include "launch/comm/nccl.h"

namespace atelier::comm {

struct NcclOptions {
  std::chrono::milliseconds timeout = kDefaultTimeout;  ///< of calls, and of the start
  int device = -1;                                      ///< -1: usual_device (nccl_start.h)
  bool share_device = false;  ///< several ranks may have one GPU, for tests: NCCL then uses sockets
};

class NcclComm final : public Comm {
 public:
  /// Requires: no NCCL or CUDA call before it in this process chose another device. Collective: all
  /// ranks. Throws: CommError naming who did not come; RefusedError for two ranks on one GPU, and
  /// where MPI forbids calls from several threads; DeviceError.
  NcclComm(const MpiSession& session, std::unique_ptr<MpiComm> host, DeviceApis apis,
           const NcclOptions& options);
  ~NcclComm() override;
  NcclComm(const NcclComm&) = delete;
  NcclComm& operator=(const NcclComm&) = delete;

  [[nodiscard]] int rank() const override;
  [[nodiscard]] int world() const override;
  [[nodiscard]] int local_rank() const override;
  [[nodiscard]] int hosts() const override;
  [[nodiscard]] std::string_view backend() const override { return "nccl"; }
  [[nodiscard]] Place place() const override { return Place::kCuda; }
  [[nodiscard]] bool host_can_touch() const override;

  [[nodiscard]] std::byte* allocate(std::size_t bytes) override;
  void all_reduce(Buffer data, ReduceOp op, const CallOptions& options = {}) override;
  void start_all_reduce(Buffer data, ReduceOp op, const CallOptions& options = {}) override;
  void finish_started() override;
  void synchronize() override;
  void copy(ConstBuffer from, Buffer to, const CallOptions& options = {}) override;
  void begin_recording() override;
  [[nodiscard]] std::size_t end_recording() override;
  void replay(std::size_t calls, const std::function<void()>& launch,
              const CallOptions& options = {}) override;
  void reduce_scatter(ConstBuffer in, Buffer out, ReduceOp op,
                      const CallOptions& options = {}) override;
  void all_gather(ConstBuffer in, Buffer out, const CallOptions& options = {}) override;
  void broadcast(Buffer data, int root, const CallOptions& options = {}) override;
  void barrier(const CallOptions& options = {}) override;
  void close() override;
  [[noreturn]] void abort(std::string_view reason, int exit_code) override;
  [[nodiscard]] std::uint64_t sequence() const override;
  [[nodiscard]] FlightRecorder& recorder() override;
  void set_default_timeout(std::chrono::milliseconds timeout) override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace atelier::comm
