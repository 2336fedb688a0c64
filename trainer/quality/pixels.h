// Images as this folder measures and draws them. A batch is either a float tensor [N,C,H,W] in
// [-1,1] (what networks take and give; any floating type) or a uint8 tensor [N,H,W,C] (what shards
// hold); C is 1 or 3. Byte b stands for b / 127.5 - 1; floats outside [-1,1] are clipped, as a
// picture clips them; NaN stays NaN. Everything is on the CPU. Thread safety: pure functions.
#pragma once

#include <cstdint>

#include <torch/torch.h>

namespace atelier::quality {

/// One row of values in [-1,1] per image, in height, width, channel order.
/// Shapes: [N,C,H,W] float or [N,H,W,C] uint8 → [N,H*W*C] float32. Throws: InternalError.
[[nodiscard]] torch::Tensor flat_pixels(const torch::Tensor& images);

/// Bytes to show or store. Shapes: [N,C,H,W] float or [N,H,W,C] uint8 → [N,H,W,C] uint8.
[[nodiscard]] torch::Tensor to_bytes(const torch::Tensor& images);

/// `wanted` positions spread evenly over [0, total), or all of them when there are fewer: a subset
/// that represents a data set stored in class order. Shapes: → [min(wanted,total)] int64.
[[nodiscard]] torch::Tensor spread_positions(std::int64_t total, std::int64_t wanted);

/// Peak signal-to-noise ratio in dB of a mean squared error on the [-1,1] scale:
/// 10 log10(4 / mse). No error at all gives +infinity.
[[nodiscard]] double psnr_db(double mean_squared_error);

}  // namespace atelier::quality
