// The 4×4 stride-2 convolutions that every convolutional net here halves and doubles with (kernel
// a multiple of the stride: no checkerboard; Odena, Dumoulin, Olah 2016). Thread safety: functions.
#pragma once

#include <cstdint>

#include <torch/torch.h>

#include "trainer/networks/geometry.h"

namespace atelier::networks {

/// One halving per level, finest first: C → width → 2·width → ….
[[nodiscard]] torch::nn::ModuleList halving_convolutions(const Geometry& geometry,
                                                         std::int64_t width);
/// The mirror: … → 2·width → width → C.
[[nodiscard]] torch::nn::ModuleList doubling_convolutions(const Geometry& geometry,
                                                          std::int64_t width);

/// [N, C·H·W] → [N, C, H, W] in channels_last memory, which the convolutions are fast in.
[[nodiscard]] at::Tensor to_base(const at::Tensor& flat, std::int64_t channels, std::int64_t height,
                                 std::int64_t width);

/// [N, C, H, W] → [N, C·H·W], the inverse of to_base.
[[nodiscard]] at::Tensor from_base(const at::Tensor& x_NCHW);

}  // namespace atelier::networks
