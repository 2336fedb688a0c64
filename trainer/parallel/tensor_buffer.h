// Tensors as the plain buffers that Comm moves. Thread safety: pure functions.
#pragma once

#include <string_view>

#include <torch/torch.h>

#include "launch/comm/comm.h"

namespace atelier::parallel {

/// Throws: InternalError for a dtype that no collective knows.
[[nodiscard]] comm::DType dtype_of(at::ScalarType type);

/// Options of a call on the memory of `tensor`: after what the calling thread has asked of its
/// device. Lifetime: `label` outlives the result.
[[nodiscard]] comm::CallOptions call_options(const at::Tensor& tensor, std::string_view label);

/// The memory of `tensor`. Requires: contiguous. Lifetime: that of the tensor's storage.
[[nodiscard]] comm::Buffer buffer_of(const at::Tensor& tensor);

}  // namespace atelier::parallel
