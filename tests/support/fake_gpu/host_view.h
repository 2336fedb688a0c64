// One operator's call as the CPU's kernels see it: CPU tensors over the memory, shapes and strides
// of the device's. Memory is in use (FakeMemory) as long as the view lives. What the kernel did to
// the tensors themselves (resized, moved to other memory) is carried over by settle(). Thread
// safety: one thread per instance.
#pragma once

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "tests/support/fake_gpu/fake_cuda.h"

namespace atelier::tests {

class HostView {
 public:
  explicit HostView(FakeMemory& memory) : memory_(memory) {}
  ~HostView();
  HostView(const HostView&) = delete;
  HostView& operator=(const HostView&) = delete;

  /// The CPU tensor that stands for `tensor` in this call; one on the CPU stands for itself.
  [[nodiscard]] at::Tensor to_host(const at::Tensor& tensor);
  /// After the kernel, before to_device(): carries changed shapes and memory over.
  void settle();
  /// The device's tensor that `tensor` stands for, a view where it is a view of one, else a new
  /// one.
  [[nodiscard]] at::Tensor to_device(const at::Tensor& tensor);

 private:
  struct SharedStorage {
    c10::Storage device;
    c10::Storage host;
    void* memory;  ///< of both, before the kernel
  };
  struct Pair {
    at::Tensor device;
    at::Tensor host;
  };
  [[nodiscard]] c10::Storage host_storage(const c10::Storage& device);
  [[nodiscard]] c10::Storage device_storage(const c10::Storage& host);
  void copy_in(const c10::Storage& device, const c10::Storage& host);

  FakeMemory& memory_;
  std::vector<SharedStorage> storages_;
  std::vector<Pair> tensors_;
  std::vector<at::Tensor> on_host_;  ///< arguments that were there already
};

}  // namespace atelier::tests
