// Numbers on their way from a device to the host, without anybody waiting for them.
// Thread safety: one thread.
#pragma once

#include <chrono>
#include <optional>

#include <c10/core/Event.h>
#include <torch/torch.h>

namespace atelier::device {

class ReadBack {
 public:
  /// Enqueues the copy. Shapes: any, on a device.
  explicit ReadBack(const at::Tensor& values);

  [[nodiscard]] bool arrived() const { return event_.query(); }
  /// Waits for them. Shapes: as given, on the host. Throws: DeviceError after `deadline`.
  [[nodiscard]] const at::Tensor& values(std::chrono::milliseconds deadline);

 private:
  at::Tensor host_;
  c10::Event event_;
};

/// Waits for `event`, asking again and again: who waits inside the driver cannot give up. Throws:
/// DeviceError after `deadline`.
void await(const c10::Event& event, std::chrono::milliseconds deadline);

}  // namespace atelier::device
