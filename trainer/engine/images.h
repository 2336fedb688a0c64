// From the loader's bytes to what nets take: uint8 NHWC → [-1, 1] NCHW in channels_last memory,
// with horizontal flips on request. Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <span>

#include <torch/torch.h>

#include "trainer/networks/geometry.h"

namespace atelier::engine {

/// What decides a sample's augmentation: a function of (seed, epoch, sample id) alone.
struct FlipKey {
  std::uint64_t seed = 0;
  std::span<const std::uint64_t> epochs;
  std::span<const std::uint64_t> ids;
};

/// Shapes: n·H·W·C bytes → [n, C, H, W] of `type`; value v becomes v / 127.5 - 1.
[[nodiscard]] at::Tensor to_images(std::span<const std::uint8_t> bytes_NHWC,
                                   const networks::Geometry& geometry, at::ScalarType type);

/// As above, with each image flipped left-right with probability 1/2.
[[nodiscard]] at::Tensor to_flipped_images(std::span<const std::uint8_t> bytes_NHWC,
                                           const networks::Geometry& geometry, at::ScalarType type,
                                           const FlipKey& key);

/// The inverse of to_images, rounded and clipped. Shapes: [n, C, H, W] → [n, H, W, C] uint8.
[[nodiscard]] at::Tensor to_bytes(const at::Tensor& images_NCHW);

}  // namespace atelier::engine
