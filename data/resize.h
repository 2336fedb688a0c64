// Geometry at import: centre crop to the wanted aspect ratio, then separable resampling with a
// Lanczos-3 kernel widened when shrinking (so that it averages), in fixed point. Thread safety:
// pure functions.
#pragma once

#include "data/image_codec.h"

namespace atelier::data {

/// The largest centred part with the aspect ratio of `height` x `width`, scaled to that size.
[[nodiscard]] Image crop_and_resize(const Image& image, int height, int width);

/// Grey to RGB by copying, RGB to grey by ITU-R BT.601 weights (a grey RGB image gives its value).
[[nodiscard]] Image with_channels(Image image, int channels);

}  // namespace atelier::data
