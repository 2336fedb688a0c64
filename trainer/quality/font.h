// A built-in bitmap font for labels on pictures: printable ASCII, 5 × 7 dots a character.
// Thread safety: pure functions.
#pragma once

#include <array>
#include <cstdint>

namespace atelier::quality {

inline constexpr int kGlyphWidth = 5;
inline constexpr int kGlyphHeight = 7;

/// Rows from top to bottom; bit 4 is the leftmost dot.
using Glyph = std::array<std::uint8_t, kGlyphHeight>;

/// The glyph of a printable ASCII character; any other character gets that of '?'.
[[nodiscard]] const Glyph& glyph_of(char character);

}  // namespace atelier::quality
