// From bytes to the numbers that nets take, as a loop over plain memory. No torch here. The same
// bits on every processor. Thread safety: pure functions.
#pragma once

#include <cstdint>

namespace atelier::engine {

/// Pixels next to one another, row by row.
struct BytePixels {
  const std::uint8_t* bytes;
  std::int64_t rows;
  std::int64_t width;
  std::int64_t channels;
};

/// Each byte v becomes v / 127.5 - 1; with `mirror`, left and right of each row change places.
/// T: float or double. Requires: at most 16384 × 4 bytes in a row.
template <typename T>
void normalise(const BytePixels& pixels, bool mirror, T* out);

}  // namespace atelier::engine
