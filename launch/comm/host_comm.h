// What the host backends share: argument checks, the count of calls and their record, the default
// deadline, memory. A backend adds one function, `exchange`. Thread safety: as Comm.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "launch/comm/background.h"
#include "launch/comm/call.h"
#include "launch/comm/comm.h"
#include "launch/comm/flight_recorder.h"

namespace atelier::comm {

/// Deadline of calls that name none, until someone sets another.
inline constexpr std::chrono::milliseconds kDefaultTimeout{60'000};

/// Throws: InternalError unless `whole` is one `part` for each rank.
void check_parts(ConstBuffer whole, ConstBuffer part, int world);

class HostComm : public Comm {
 public:
  [[nodiscard]] std::byte* allocate(std::size_t bytes) final;
  void all_reduce(Buffer data, ReduceOp op, const CallOptions& options = {}) final;
  void start_all_reduce(Buffer data, ReduceOp op, const CallOptions& options = {}) final;
  void finish_started() final { background_.wait(); }
  void reduce_scatter(ConstBuffer in, Buffer out, ReduceOp op,
                      const CallOptions& options = {}) final;
  void all_gather(ConstBuffer in, Buffer out, const CallOptions& options = {}) final;
  void broadcast(Buffer data, int root, const CallOptions& options = {}) final;
  void barrier(const CallOptions& options = {}) final;
  [[nodiscard]] std::uint64_t sequence() const final { return sequence_; }
  /// `listener` is told of each call when it is entered, on the thread that makes it.
  void on_call(std::function<void(const CallRecord&)> listener) { listener_ = std::move(listener); }
  /// What allocate() does first: sizes are compared, and a missing rank is named.
  void agree_on_allocation(std::size_t bytes);
  /// Counts a call that somebody else makes for this rank, and gives its number.
  [[nodiscard]] std::uint64_t take_number() { return ++sequence_; }
  [[nodiscard]] FlightRecorder& recorder() final;
  void set_default_timeout(std::chrono::milliseconds timeout) final;
  [[nodiscard]] std::chrono::milliseconds default_timeout() const { return default_timeout_; }

 protected:
  /// One checked call. `in` and `out` are the same for all_reduce and broadcast.
  struct Task {
    CallRecord call;
    const std::byte* in = nullptr;  ///< call.count elements
    std::byte* out = nullptr;
    std::chrono::milliseconds timeout{};
    bool background = false;  ///< someone else computes on this core meanwhile
    [[nodiscard]] std::size_t in_bytes() const { return call.count * size_of(call.dtype); }
  };
  virtual void exchange(const Task& task) = 0;
  /// To be called first by the destructor of a backend: what was started still uses it.
  void abandon_started() noexcept { background_.abandon(); }
  /// Memory for allocate(); here of this process alone.
  virtual std::byte* provide(std::size_t bytes);

 private:
  struct Region {
    const std::byte* begin;
    std::size_t bytes;
  };
  struct FreeAligned {
    void operator()(std::byte* memory) const;
  };
  /// Checks, numbers and records a call.
  [[nodiscard]] Task prepare(CallRecord call, ConstBuffer in, void* out,
                             const CallOptions& options);
  void enter(const Task& task);
  /// Fills in region and offset where `memory` lies in a region.
  void locate(const void* memory, CallRecord& call) const;

  std::vector<Region> regions_;  ///< what allocate() gave, in order
  std::vector<std::unique_ptr<std::byte, FreeAligned>> own_memory_;

  std::unique_ptr<FlightRecorder> recorder_;  ///< from the first use on: ranks are known by then
  std::atomic<std::uint64_t> sequence_{0};
  std::chrono::milliseconds default_timeout_ = kDefaultTimeout;
  std::function<void(const CallRecord&)> listener_;
  Background background_;
};

}  // namespace atelier::comm
