// How the size of an image decides the depth of a network: k halvings, k the largest number with
// 2^k | gcd(H, W) and min(H, W) / 2^k >= 4, down to a base of H/2^k × W/2^k. No torch here.
// Thread safety: values.
#pragma once

#include <cstdint>

namespace atelier::networks {

struct Geometry {
  std::int64_t channels = 3;
  std::int64_t height = 32;
  std::int64_t width = 32;

  [[nodiscard]] int halvings() const;
  [[nodiscard]] std::int64_t base_height() const { return height >> halvings(); }
  [[nodiscard]] std::int64_t base_width() const { return width >> halvings(); }
  [[nodiscard]] std::int64_t values() const { return channels * height * width; }

  /// Throws: ConfigError unless H and W are multiples of 8 from 16 to 256 and C is 1 or 3.
  void validate() const;
};

/// Channels after `halving` (1 = the finest) of a net whose finest level has `width` channels:
/// doubled at each halving, at most 8 × width.
[[nodiscard]] std::int64_t channels_at(std::int64_t width, int halving);

}  // namespace atelier::networks
