#include "trainer/engine/images.h"

#include <ATen/Parallel.h>

#include "launch/base/error.h"
#include "launch/base/random.h"
#include "trainer/engine/byte_loops.h"

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

namespace {

template <typename T>
at::Tensor normalised(const at::Tensor& bytes_NHWC, const at::Tensor& flip) {
  const at::Tensor bytes = bytes_NHWC.contiguous();
  at::Tensor out = torch::empty(bytes.sizes(), c10::CppTypeToScalarType<T>::value);
  const std::int64_t image = bytes[0].numel();
  const bool* const mirror = flip.defined() ? flip.const_data_ptr<bool>() : nullptr;
  at::parallel_for(0, bytes.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      normalise<T>({.bytes = bytes.const_data_ptr<std::uint8_t>() + i * image,
                    .rows = bytes.size(1),
                    .width = bytes.size(2),
                    .channels = bytes.size(3)},
                   mirror != nullptr && mirror[i], out.mutable_data_ptr<T>() + i * image);
    }
  });
  return out.permute({0, 3, 1, 2});
}

}  // namespace

at::Tensor to_images(const at::Tensor& bytes_NHWC, const at::Tensor& flip, at::ScalarType type) {
  if (bytes_NHWC.is_cpu() && bytes_NHWC.numel() > 0) {  // on the host in one pass
    if (type == torch::kFloat32) return normalised<float>(bytes_NHWC, flip);
    if (type == torch::kFloat64) return normalised<double>(bytes_NHWC, flip);
  }
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
