#include "trainer/engine/images.h"

#include "launch/base/error.h"
#include "launch/base/random.h"

namespace atelier::engine {
namespace {

at::Tensor as_tensor(std::span<const std::uint8_t> bytes, const networks::Geometry& geometry) {
  const auto count = static_cast<std::int64_t>(bytes.size()) / geometry.values();
  ATELIER_CHECK(count * geometry.values() == static_cast<std::int64_t>(bytes.size()),
                "whole images");
  // from_blob takes a mutable pointer; the tensor is only read.
  return torch::from_blob(
      const_cast<std::uint8_t*>(bytes.data()),  // NOLINT(cppcoreguidelines-pro-type-const-cast)
      {count, geometry.height, geometry.width, geometry.channels}, torch::kByte);
}

at::Tensor scaled(const at::Tensor& bytes_NHWC, at::ScalarType type) {
  return bytes_NHWC.to(type).div_(127.5).sub_(1.0).permute({0, 3, 1, 2});
}

}  // namespace

at::Tensor to_images(std::span<const std::uint8_t> bytes_NHWC, const networks::Geometry& geometry,
                     at::ScalarType type) {
  return scaled(as_tensor(bytes_NHWC, geometry), type);
}

at::Tensor to_flipped_images(std::span<const std::uint8_t> bytes_NHWC,
                             const networks::Geometry& geometry, at::ScalarType type,
                             const FlipKey& key) {
  const at::Tensor bytes = as_tensor(bytes_NHWC, geometry);
  at::Tensor flip = torch::empty({bytes.size(0), 1, 1, 1}, torch::kBool);
  for (std::int64_t i = 0; i < bytes.size(0); ++i) {
    const auto sample = static_cast<std::size_t>(i);
    const RandomKey random{.seed = key.seed,
                           .stream = Stream::kAugmentation,
                           .major = key.epochs[sample],
                           .minor = key.ids[sample]};
    flip.data_ptr<bool>()[i] = (random_block(random, 0)[0] & 1U) != 0;
  }
  return scaled(torch::where(flip, bytes.flip({2}), bytes), type);
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
