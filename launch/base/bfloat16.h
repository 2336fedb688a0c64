// bfloat16 as its bits: the upper half of a float. For loops that compilers vectorise.
// Thread safety: pure functions.
#pragma once

#include <bit>
#include <cstdint>

namespace atelier {

[[nodiscard]] __attribute__((always_inline)) inline float from_bfloat16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}

/// The nearest one, ties to even; a NaN stays one.
[[nodiscard]] __attribute__((always_inline)) inline std::uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t nearest = bits + 0x7fffU + (bits >> 16U & 1U);
  return static_cast<std::uint16_t>((value != value ? bits | 0x400000U : nearest) >> 16U);
}

}  // namespace atelier
