// Calls that were given to a device and have not ended, in order: which have passed, and whether
// the oldest takes too long. Its time starts when the one before it has ended. The device is asked
// by events, never waited for. A gap between two looks means that this process stood still itself
// (Ctrl-Z, a suspended machine): its time does not count. Thread safety: any thread.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "launch/comm/call.h"
#include "launch/comm/nccl.h"

namespace atelier::comm {

class InFlight {
 public:
  using Clock = std::chrono::steady_clock;
  explicit InFlight(std::shared_ptr<CudaApi> cuda) : cuda_(std::move(cuda)) {}
  ~InFlight() = default;  ///< what close() has not freed goes with the process
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;

  /// `call` is about to be enqueued, and its time runs: for what may itself not return while others
  /// stand still. add() or not_enqueued() follows.
  void expect(const CallRecord& call, std::chrono::milliseconds timeout);
  void not_enqueued();
  /// `call` was just enqueued on `stream`. Throws: DeviceError.
  void add(const CallRecord& call, CudaStream stream, std::chrono::milliseconds timeout);
  /// For a stream that is to go on only after what was added last; null before the first.
  [[nodiscard]] CudaEvent newest() const;
  /// Requires: no call is in flight. Throws: DeviceError.
  void close();

  /// Numbers of the calls that have ended since the last look. Throws: DeviceError when the device
  /// has failed.
  [[nodiscard]] std::vector<std::uint64_t> retire();
  struct Overdue {
    CallRecord call;
    std::chrono::milliseconds timeout;
  };
  /// To be asked many times a second.
  [[nodiscard]] std::optional<Overdue> overdue();
  [[nodiscard]] std::optional<CallRecord> oldest() const;
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] bool empty() const { return size() == 0; }

 private:
  struct Call {
    CallRecord record;
    CudaEvent done;  ///< null: only expected
    std::chrono::milliseconds timeout;
  };

  mutable std::mutex mutex_;
  std::shared_ptr<CudaApi> cuda_;
  std::deque<Call> calls_;
  std::vector<CudaEvent> spare_;
  CudaEvent newest_ = nullptr;
  Clock::time_point since_;   ///< the oldest is at the front of the stream
  Clock::time_point looked_;  ///< by overdue()
};

}  // namespace atelier::comm
