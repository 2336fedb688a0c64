#include "data/exif.h"

#include <cstring>
#include <utility>
#include <vector>

namespace atelier::data {
namespace {

/// Numbers of a TIFF structure in its own byte order; zero behind the end.
class Tiff {
 public:
  explicit Tiff(std::span<const std::uint8_t> bytes)
      : bytes_(bytes), big_(bytes.size() > 1 && bytes[0] == 'M') {}
  [[nodiscard]] std::uint32_t number(std::size_t at, std::size_t width) const {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < width; ++i) {
      const std::size_t from = at + (big_ ? i : width - 1 - i);
      value = value << 8U | (from < bytes_.size() ? bytes_[from] : 0U);
    }
    return value;
  }

 private:
  std::span<const std::uint8_t> bytes_;
  bool big_;
};

}  // namespace

int exif_orientation(std::span<const std::uint8_t> bytes) {
  constexpr std::size_t kEntryBytes = 12;
  constexpr std::uint32_t kOrientation = 0x0112;
  const Tiff tiff(bytes);
  const std::size_t directory = tiff.number(4, 4);
  const std::uint32_t entries = tiff.number(directory, 2);
  for (std::uint32_t i = 0; i < entries && directory + i * kEntryBytes < bytes.size(); ++i) {
    const std::size_t entry = directory + 2 + i * kEntryBytes;
    if (tiff.number(entry, 2) != kOrientation) continue;
    const std::uint32_t value = tiff.number(entry + 8, 2);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Image upright(Image image, int orientation) {
  if (orientation == 1) return image;
  const auto height = static_cast<std::size_t>(image.shape.height);
  const auto width = static_cast<std::size_t>(image.shape.width);
  const auto channels = static_cast<std::size_t>(image.shape.channels);
  const bool exchange = orientation >= 5;
  Image out{image.shape, std::vector<std::uint8_t>(image.pixels.size())};
  if (exchange) std::swap(out.shape.height, out.shape.width);
  const auto out_width = static_cast<std::size_t>(out.shape.width);
  const bool flip_row =
      orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  const bool flip_column =
      orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  for (std::size_t y = 0; y < static_cast<std::size_t>(out.shape.height); ++y) {
    for (std::size_t x = 0; x < out_width; ++x) {
      std::size_t row = exchange ? x : y;
      std::size_t column = exchange ? y : x;
      if (exchange ? flip_column : flip_row) row = height - 1 - row;
      if (exchange ? flip_row : flip_column) column = width - 1 - column;
      std::memcpy(&out.pixels[(y * out_width + x) * channels],
                  &image.pixels[(row * width + column) * channels], channels);
    }
  }
  return out;
}

}  // namespace atelier::data
