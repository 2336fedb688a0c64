// Geometry: the part of an image that is kept, then separable resampling in fixed point
// with a kernel that is widened when shrinking (so that it averages). Thread safety: pure
// functions.
#pragma once

#include <array>

#include "data/image_codec.h"

namespace atelier::data {

enum class Fit : std::uint8_t {
  kCrop,    ///< the largest centred part of the wanted aspect ratio
  kPad,     ///< all of it, centred on black
  kStretch  ///< all of it, whatever becomes of its aspect ratio
};
/// Kernels, with half their width when enlarging.
enum class Filter : std::uint8_t {
  kLanczos,   ///< windowed sinc, 3 pixels
  kBox,       ///< mean; 1/2 pixel
  kBilinear,  ///< triangle; 1 pixel
};

/// As users write them, in the order of the values.
inline constexpr std::array<const char*, 3> kFitNames{"crop", "pad", "stretch"};
inline constexpr std::array<const char*, 3> kFilterNames{"lanczos", "box", "bilinear"};

/// Goes up when resized() gives other pixels: images that are stored as files are resized anew
/// whenever they are read.
inline constexpr int kResizeVersion = 1;

struct Geometry {
  int height = 0;
  int width = 0;
  Fit fit = Fit::kCrop;
  Filter filter = Filter::kLanczos;
};

/// Requires: sides of 1 and more.
[[nodiscard]] Image resized(const Image& image, const Geometry& geometry);

/// Grey to RGB by copying, RGB to grey by ITU-R BT.601 weights (a grey RGB image gives its value).
[[nodiscard]] Image with_channels(Image image, int channels);

/// Left and right change places.
[[nodiscard]] Image mirrored(const Image& image);

}  // namespace atelier::data
