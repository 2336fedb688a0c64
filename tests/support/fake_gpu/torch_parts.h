// What the parts of the made-up LibTorch device know of each other: torch_device.cpp has memory,
// streams and registration, torch_operators.cpp the kernels, torch_autocast.cpp the casts,
// torch_moving.cpp the way of parameters from the host to the device, torch_recording.cpp what is
// recorded to be repeated.
// Thread safety: the state is shared by all threads; registration happens once, on one thread.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string_view>

#include <ATen/core/Tensor.h>
#include <ATen/core/stack.h>
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

/// Calls `convert(tensor)` for each tensor in `value`, which keeps the results.
template <typename Convert>
void for_tensors(c10::IValue& value, Convert convert) {
  if (value.isTensor()) {
    value = convert(value.toTensor());
  } else if (value.isTensorList()) {
    c10::List<at::Tensor> converted;
    for (const at::Tensor& each : value.toTensorVector()) converted.push_back(convert(each));
    value = std::move(converted);
  } else if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> converted;
    for (const std::optional<at::Tensor>& each : value.toOptionalTensorVector()) {
      converted.push_back(each.has_value() ? std::optional(convert(*each)) : std::nullopt);
    }
    value = std::move(converted);
  }
}

/// One operator over the device's memory; `stack` holds its arguments, then its results.
void run_operator(const c10::OperatorHandle& op, torch::jit::Stack& stack);

/// Throws: c10::Error while something is recorded.
void forbid_in_recordings(std::string_view what);
/// Does nothing unless something is recorded.
void put_on_tape(const c10::OperatorHandle& op, const torch::jit::Stack& arguments,
                 const torch::jit::Stack& results);

void register_operators(TorchDeviceState& state);
void register_recording();
void register_autocast(TorchDeviceState& state);
void register_moving();

}  // namespace atelier::tests
