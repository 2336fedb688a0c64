#include "trainer/engine/images.h"

#include "launch/base/error.h"
#include "launch/base/random.h"

namespace atelier::engine {

at::Tensor as_tensor(std::span<const std::uint8_t> bytes_NHWC, const networks::Geometry& geometry) {
  const auto count = static_cast<std::int64_t>(bytes_NHWC.size()) / geometry.values();
  ATELIER_CHECK(count * geometry.values() == static_cast<std::int64_t>(bytes_NHWC.size()),
                "whole images");
  // from_blob takes a mutable pointer; the tensor is only read.
  return torch::from_blob(const_cast<std::uint8_t*>(
                              bytes_NHWC.data()),  // NOLINT(cppcoreguidelines-pro-type-const-cast)
                          {count, geometry.height, geometry.width, geometry.channels},
                          torch::kByte);
}

at::Tensor flips(const FlipKey& key) {
  const auto count = static_cast<std::int64_t>(key.ids.size());
  at::Tensor flip = torch::empty({count, 1, 1, 1}, torch::kBool);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto sample = static_cast<std::size_t>(i);
    const RandomKey random{.seed = key.seed,
                           .stream = Stream::kAugmentation,
                           .major = key.epochs[sample],
                           .minor = key.ids[sample]};
    flip.data_ptr<bool>()[i] = (random_block(random, 0)[0] & 1U) != 0;
  }
  return flip;
}

at::Tensor to_images(const at::Tensor& bytes_NHWC, const at::Tensor& flip, at::ScalarType type) {
  const at::Tensor turned =
      flip.defined() ? torch::where(flip, bytes_NHWC.flip({2}), bytes_NHWC) : bytes_NHWC;
  return turned.to(type).div_(127.5).sub_(1.0).permute({0, 3, 1, 2});
}

at::Tensor to_images(std::span<const std::uint8_t> bytes_NHWC, const networks::Geometry& geometry,
                     at::ScalarType type) {
  return to_images(as_tensor(bytes_NHWC, geometry), {}, type);
}

at::Tensor to_flipped_images(std::span<const std::uint8_t> bytes_NHWC,
                             const networks::Geometry& geometry, at::ScalarType type,
                             const FlipKey& key) {
  return to_images(as_tensor(bytes_NHWC, geometry), flips(key), type);
}

at::Tensor to_bytes(const at::Tensor& images_NCHW) {
  return images_NCHW.permute({0, 2, 3, 1})
      .to(torch::kFloat)
      .add(1.0)
      .mul(127.5)
      .round()
      .clamp(0, 255)
      .to(torch::kByte)
      .contiguous();
}

}  // namespace atelier::engine
