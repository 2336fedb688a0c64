#include "trainer/engine/byte_loops.h"

#include <array>
#include <cstring>

#include "launch/base/clones.h"

namespace atelier::engine {
namespace {

constexpr std::int64_t kMostRowBytes = std::int64_t{16384} * 4;

template <typename T>
inline __attribute__((always_inline)) void convert(const std::uint8_t* bytes, std::int64_t count,
                                                   T* out) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(bytes[i]) / T{127.5} - T{1};
}

template <typename T>
inline __attribute__((always_inline)) void convert_all(const BytePixels& pixels, bool mirror,
                                                       T* out) {
  const std::int64_t row_bytes = pixels.width * pixels.channels;
  if (!mirror) return convert(pixels.bytes, pixels.rows * row_bytes, out);
  std::array<std::uint8_t, kMostRowBytes> turned;  // NOLINT: filled row by row
  for (std::int64_t row = 0; row < pixels.rows; ++row) {
    const std::uint8_t* const from = pixels.bytes + row * row_bytes;
    for (std::int64_t x = 0; x < pixels.width; ++x) {
      std::memcpy(&turned[static_cast<std::size_t>((pixels.width - 1 - x) * pixels.channels)],
                  from + x * pixels.channels, static_cast<std::size_t>(pixels.channels));
    }
    convert(turned.data(), row_bytes, out + row * row_bytes);
  }
}

}  // namespace

#define ATELIER_BYTE_LOOPS(T)                                                    \
  template <>                                                                    \
  ATELIER_CLONES void normalise(const BytePixels& pixels, bool mirror, T* out) { \
    convert_all(pixels, mirror, out);                                            \
  }
ATELIER_BYTE_LOOPS(float)
ATELIER_BYTE_LOOPS(double)
#undef ATELIER_BYTE_LOOPS

}  // namespace atelier::engine
