// Copies between memory of the host and of a device without waiting inside CUDA: a copy from or to
// ordinary memory of the host would hold its caller up in the driver, so bytes go through a
// page-locked buffer, a piece at a time, on a stream of their own whose end is asked for. What the
// caller gave is never touched after a wait that was given up. Thread safety: one thread at a time.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

#include "launch/comm/nccl.h"

namespace atelier::comm {

class DeviceCopy {
 public:
  /// Throws unless `code` is success; told what was called.
  using Check = std::function<void(int code, std::string_view what)>;
  /// Takes kPieceBytes of page-locked memory, which may wait for the device: best made while
  /// nothing runs there. Throws: what `check` throws.
  DeviceCopy(std::shared_ptr<CudaApi> cuda, Check check);
  ~DeviceCopy() = default;  ///< local; what close() has not freed goes with the process
  DeviceCopy(const DeviceCopy&) = delete;
  DeviceCopy& operator=(const DeviceCopy&) = delete;

  static constexpr std::size_t kPieceBytes = std::size_t{1} << 20U;

  struct Side {
    void* memory;
    bool on_device;
  };
  /// Returns once the event has passed, or throws.
  using Wait = std::function<void(CudaEvent)>;
  /// Copies `bytes` from one side, which it only reads, to the other. Throws: what `check` and
  /// `wait` throw.
  void copy(Side from, Side to, std::size_t bytes, const Wait& wait);

  /// Requires: no copy is under way. Throws: what `check` throws.
  void close();

 private:
  void move(void* to, const void* from, std::size_t bytes, const Wait& wait);

  std::shared_ptr<CudaApi> cuda_;
  Check check_;
  CudaStream stream_ = nullptr;
  CudaEvent done_ = nullptr;  ///< of the last piece, also when nobody waited for its end
  void* piece_ = nullptr;     ///< page-locked
};

}  // namespace atelier::comm
