// Copies from the host to a device, on a queue of their own: while the device computes a step, the
// images of the next one arrive. Thread safety: one thread.
#pragma once

#include <optional>

#include <c10/core/Event.h>
#include <torch/torch.h>

namespace atelier::device {

class Uploader {
 public:
  explicit Uploader(at::Device device);

  /// `host` on the device, ready for what the calling thread asks of the device next; on hosts
  /// `host` itself. Lifetime: memory that is not the tensor's own is read until finish() returns.
  [[nodiscard]] at::Tensor upload(const at::Tensor& host);

  /// Waits until the memory of all uploads may be written again.
  void finish();

 private:
  at::Device device_;
  std::optional<c10::Stream> copies_;
  std::optional<c10::Event> copied_;
};

}  // namespace atelier::device
