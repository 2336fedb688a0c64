// What the parts of the made-up LibTorch device know of each other: torch_device.cpp has memory,
// streams and registration, torch_operators.cpp the kernels, torch_autocast.cpp the casts,
// torch_moving.cpp the way of parameters from the host to the device.
// Thread safety: the state is shared by all threads; registration happens once, on one thread.
#pragma once

#include <atomic>
#include <deque>
#include <memory>

#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include "tests/support/fake_gpu/fake_cuda.h"

namespace atelier::tests {

inline const c10::Device kFakeDevice(c10::DeviceType::PrivateUse1, 0);

/// Lives as long as the process.
struct TorchDeviceState {
  std::shared_ptr<FakeMemory> memory;
  std::atomic<std::int64_t> copies_to_host{0};
  std::atomic<std::int64_t> waits_of_host{0};
  std::deque<torch::Library> libraries = {};  ///< a registration holds as long as its Library
};

/// Throws: std::logic_error before register_torch_device().
[[nodiscard]] TorchDeviceState& torch_device_state();

[[nodiscard]] bool is_pinned_memory(const void* memory);

void register_operators(TorchDeviceState& state);
void register_autocast(TorchDeviceState& state);
void register_moving();

}  // namespace atelier::tests
