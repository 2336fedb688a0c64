// Collectives between the ranks of a job. A Comm moves plain buffers and knows no tensors; its
// backends are one process alone (self), ranks as threads (tests), MPI (CPU clusters, control
// traffic) and NCCL (GPUs). Every call has a deadline: when it passes, the call throws CommError
// naming the rank, the operation and its sequence number. After a CommError the communicator can
// only be aborted. On hosts sums are taken in rank order, so that every backend gives the same
// bits; on devices the order is NCCL's, the same on all ranks. Thread safety: one thread at a time
// per Comm; `abort` may come from any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace atelier::comm {

enum class DType : std::uint8_t { kFloat32, kFloat64, kBFloat16, kInt64, kUInt8 };
enum class Place : std::uint8_t { kHost, kCuda };
enum class ReduceOp : std::uint8_t { kSum, kMin, kMax };

[[nodiscard]] std::size_t size_of(DType dtype);
[[nodiscard]] std::string_view name_of(DType dtype);

/// Memory of the caller. Lifetime: until the call returns (host) or the stream has passed it
/// (device).
struct Buffer {
  void* data = nullptr;
  std::size_t count = 0;  ///< elements
  DType dtype = DType::kFloat32;
  Place place = Place::kHost;
  [[nodiscard]] std::size_t bytes() const { return count * size_of(dtype); }
};

struct ConstBuffer {
  const void* data = nullptr;
  std::size_t count = 0;  ///< elements
  DType dtype = DType::kFloat32;
  Place place = Place::kHost;
  ConstBuffer() = default;
  ConstBuffer(const void* memory, std::size_t elements, DType type, Place where = Place::kHost)
      : data(memory), count(elements), dtype(type), place(where) {}
  ConstBuffer(const Buffer& buffer)  // NOLINT(google-explicit-constructor): as span<const T>
      : data(buffer.data), count(buffer.count), dtype(buffer.dtype), place(buffer.place) {}
  [[nodiscard]] std::size_t bytes() const { return count * size_of(dtype); }
};

struct CallOptions {
  std::chrono::milliseconds timeout{0};  ///< 0: the communicator's default
  void* stream = nullptr;                ///< device stream; null on hosts
  std::string_view label = {};           ///< what is moved, for reports: "gradients of G, bucket 3"
};

/// Throws: InternalError unless one can be copied into the other.
void check_copy(ConstBuffer from, ConstBuffer to);

class FlightRecorder;

class Comm {
 public:
  virtual ~Comm() = default;  ///< local; never a collective

  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int world() const = 0;
  /// Position among the ranks of this host, and how many hosts there are.
  [[nodiscard]] virtual int local_rank() const = 0;
  [[nodiscard]] virtual int hosts() const = 0;
  [[nodiscard]] virtual std::string_view backend() const = 0;
  /// Where allocate() gives memory.
  [[nodiscard]] virtual Place place() const { return Place::kHost; }
  /// Whether the host may read and write it as its own.
  [[nodiscard]] virtual bool host_can_touch() const { return true; }

  /// Zeroed memory, 128-byte aligned, that all_reduce works on in place: the ranks of a host see
  /// each other's, so nothing is copied. When one rank passes a place in it, all pass the same one.
  /// Lifetime: until close(). Collective: all ranks, same size. Throws: CommError.
  [[nodiscard]] virtual std::byte* allocate(std::size_t bytes) = 0;

  /// Replaces `data` on every rank by its reduction over all ranks. On hosts kBFloat16 sums in
  /// float32, and a minimum or maximum with a NaN is NaN; on devices it may be lost (NCCL's fminf).
  /// Collective: all ranks, same order, same count and dtype. Throws: CommError.
  virtual void all_reduce(Buffer data, ReduceOp op, const CallOptions& options = {}) = 0;

  /// As all_reduce, but may return before it is done: the caller computes on while it runs. `data`
  /// is the communicator's until finish_started(), or another call on memory of the same place,
  /// returns: those wait for everything started. Collective: all ranks, in the order of all calls.
  /// Throws: CommError; what goes wrong later is thrown by the call that waits.
  virtual void start_all_reduce(Buffer data, ReduceOp op, const CallOptions& options = {}) {
    all_reduce(data, op, options);
  }
  /// Waits for what was started. Throws: CommError.
  virtual void finish_started() {}
  /// Waits until the host can read the results of all calls; on devices calls return before.
  /// Throws: CommError.
  virtual void synchronize() { finish_started(); }

  /// Copies between memory of the host and memory of allocate(), either way, or within one of them,
  /// and returns when it is done. It comes after the calls so far and what `options.stream` holds,
  /// and is no call that others count. Local, but it may wait for calls on other ranks.
  /// Throws: CommError, DeviceError.
  virtual void copy(ConstBuffer from, Buffer to, const CallOptions& options = {});

  /// For work that a device records once and repeats by itself (a CUDA graph). From here to
  /// end_recording(), calls on device memory become part of what `options.stream` of each records:
  /// they do nothing yet, are no calls that others count, and may only concern device memory.
  /// Local; waits for all calls so far. Throws: CommError.
  virtual void begin_recording() { synchronize(); }
  /// Returns how many calls were recorded; 0 where memory is the host's.
  [[nodiscard]] virtual std::size_t end_recording() { return 0; }
  /// `launch` asks the device, on `options.stream`, to repeat a recording of `calls` calls. To
  /// others it is one call, with one deadline. Lifetime: recordings end before close().
  /// Collective: all ranks, the same recording. Throws: as calls.
  virtual void replay(std::size_t calls, const std::function<void()>& launch,
                      const CallOptions& options = {});

  /// Reduces `in` (world × out.count elements) and leaves the rank-th part in `out`.
  /// Collective: all ranks. Throws: CommError.
  virtual void reduce_scatter(ConstBuffer in, Buffer out, ReduceOp op,
                              const CallOptions& options = {}) = 0;

  /// Concatenates `in` of all ranks, in rank order, into `out` (world × in.count elements).
  /// Collective: all ranks. Throws: CommError.
  virtual void all_gather(ConstBuffer in, Buffer out, const CallOptions& options = {}) = 0;

  /// Copies `data` of `root` to every rank. Collective: all ranks. Throws: CommError.
  virtual void broadcast(Buffer data, int root, const CallOptions& options = {}) = 0;

  /// Returns when every rank has entered. Collective: all ranks. Throws: CommError.
  virtual void barrier(const CallOptions& options = {}) = 0;

  /// Orderly end of the job: waits for every rank, then gives back what a destructor may not (it
  /// must stay local), by the deadline of calls that name none. Nothing else may be called
  /// afterwards. Collective: all ranks. Throws: CommError naming who did not come.
  virtual void close() {}

  /// Ends the job on every rank with `exit_code`, printing `reason` once. A rank of a multi-process
  /// backend does not return from it. Idempotent.
  virtual void abort(std::string_view reason, int exit_code) = 0;

  /// Collectives this rank has entered so far.
  [[nodiscard]] virtual std::uint64_t sequence() const = 0;
  /// Where they are recorded; the caller may add what the rank does between them.
  [[nodiscard]] virtual FlightRecorder& recorder() = 0;

  /// Default deadline of the calls that name none.
  virtual void set_default_timeout(std::chrono::milliseconds timeout) = 0;
};

}  // namespace atelier::comm
