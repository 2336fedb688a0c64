// Which way up a picture is meant, and turning it so. Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <span>

#include "data/image_codec.h"

namespace atelier::data {

/// EXIF 2.3, tag 0x0112 of the first directory: 1 to 8; 1 (upright) when it is not there. `tiff`:
/// what follows "Exif\0\0" in a JPEG file, or an EXIF chunk.
[[nodiscard]] int exif_orientation(std::span<const std::uint8_t> tiff);

/// Values 2 to 8: mirrored and turned pictures; 5 to 8 exchange rows and columns.
[[nodiscard]] Image upright(Image image, int orientation);

}  // namespace atelier::data
