#include "trainer/quality/pixels.h"

#include <algorithm>
#include <cmath>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::quality {
namespace {

void check_images(const torch::Tensor& images) {
  ATELIER_CHECK(images.defined() && images.dim() == 4, "images are [N,C,H,W] or [N,H,W,C]");
  ATELIER_CHECK(images.device().is_cpu(), "images are measured on the CPU");
  const bool bytes = images.scalar_type() == torch::kUInt8;
  ATELIER_CHECK(bytes || images.is_floating_point(), "images are uint8 or floating point");
  const auto channels = images.size(bytes ? 3 : 1);
  ATELIER_CHECK(channels == 1 || channels == 3, text("1 or 3 channels, found ", channels));
}

}  // namespace

torch::Tensor flat_pixels(const torch::Tensor& images) {
  check_images(images);
  if (images.scalar_type() == torch::kUInt8) {
    return images.to(torch::kFloat32).div_(127.5).sub_(1.0).reshape({images.size(0), -1});
  }
  // A float copy of its own, so that clipping in place leaves the caller's images alone.
  auto values = images.detach()
                    .permute({0, 2, 3, 1})
                    .to(torch::kFloat32, /*non_blocking=*/false, /*copy=*/true,
                        torch::MemoryFormat::Contiguous);
  return values.clamp_(-1.0, 1.0).reshape({images.size(0), -1});
}

torch::Tensor to_bytes(const torch::Tensor& images) {
  check_images(images);
  if (images.scalar_type() == torch::kUInt8) {
    return images.contiguous();
  }
  auto values = flat_pixels(images).nan_to_num_(-1.0).add_(1.0).mul_(127.5).round_();
  return values.to(torch::kUInt8)
      .reshape({images.size(0), images.size(2), images.size(3), images.size(1)});
}

torch::Tensor spread_positions(std::int64_t total, std::int64_t wanted) {
  ATELIER_CHECK(total >= 0 && wanted >= 0, "counts are not negative");
  const auto count = std::min(total, wanted);
  auto positions = torch::arange(count, torch::kInt64);
  return count == 0 ? positions : positions.mul_(total).div_(count, /*rounding_mode=*/"floor");
}

double psnr_db(double mean_squared_error) { return 10.0 * std::log10(4.0 / mean_squared_error); }

}  // namespace atelier::quality
