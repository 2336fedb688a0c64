// Image files: JPEG (libjpeg-turbo), PNG (libpng) and WebP (libwebp) to uint8 pixels, pixels to
// PNG. Decoding is deterministic (integer DCT), turns pictures upright by their EXIF orientation,
// converts CMYK and YCCK to RGB, 16 bits to 8, and lays transparent ones on white. Damaged input of
// any kind is a DataError; memory is bounded by the size the header states, checked first. Thread
// safety: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/layout.h"
#include "launch/base/file_system.h"

namespace atelier::data {

struct Image {
  ImageShape shape;                  ///< 1 channel when the file is grey, else 3
  std::vector<std::uint8_t> pixels;  ///< Shapes: [H, W, C]
};

inline constexpr std::uint64_t kMaxImagePixels = std::uint64_t{1} << 26U;

/// JPEG, PNG or WebP, told apart by their first bytes. `name` is for messages. Throws: DataError.
[[nodiscard]] Image decode_image(std::span<const std::byte> file, const std::string& name);

/// The same, straight to `out`, where nothing has to be converted: of a JPEG that has that shape
/// and stands upright. Of any other file: false, and `out` is as it was. After an error it is
/// anything.
[[nodiscard]] bool decode_image_to(std::span<const std::byte> file, const std::string& name,
                                   const ImageShape& shape, std::span<std::uint8_t> out);

/// Throws: DataError when shape and number of bytes disagree.
[[nodiscard]] std::string encode_png(const ImageShape& shape, std::span<const std::uint8_t> pixels);

/// encode_png into a file that appears whole or not at all. Throws: IoError, DataError.
void write_png(FileSystem& files, const Path& path, const ImageShape& shape,
               std::span<const std::uint8_t> pixels);

}  // namespace atelier::data
