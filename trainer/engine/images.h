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

/// In two steps, for images that travel to a device in between. The bytes as a tensor, and which
/// images are flipped. Lifetime: that of the bytes. Shapes: → [n, H, W, C] uint8; → [n, 1, 1, 1]
/// bool.
[[nodiscard]] at::Tensor as_tensor(std::span<const std::uint8_t> bytes_NHWC,
                                   const networks::Geometry& geometry);
[[nodiscard]] at::Tensor flips(const FlipKey& key);
/// `flip`: undefined for none. Shapes: as above, → [n, C, H, W], where the bytes are.
[[nodiscard]] at::Tensor to_images(const at::Tensor& bytes_NHWC, const at::Tensor& flip,
                                   at::ScalarType type);

/// The inverse of to_images, rounded and clipped. Shapes: [n, C, H, W] → [n, H, W, C] uint8.
[[nodiscard]] at::Tensor to_bytes(const at::Tensor& images_NCHW);

}  // namespace atelier::engine
