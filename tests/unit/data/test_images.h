// Pictures and image files made in memory. Thread safety: pure functions.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <jpeglib.h>

#include "data/image_codec.h"

namespace atelier::data {

/// Smooth colours that depend on `seed`.
inline Image test_picture(const ImageShape& shape, unsigned seed) {
  Image image{shape, std::vector<std::uint8_t>(shape.bytes())};
  std::size_t at = 0;
  for (int y = 0; y < shape.height; ++y)
    for (int x = 0; x < shape.width; ++x)
      for (int c = 0; c < shape.channels; ++c)
        image.pixels[at++] =
            static_cast<std::uint8_t>(static_cast<unsigned>(x * 5 + y * (c + 3)) + seed * 37);
  return image;
}

/// `stored`: the colours of the file; JCS_UNKNOWN: what libjpeg takes by itself.
inline std::string encode_as(const Image& image, J_COLOR_SPACE given, J_COLOR_SPACE stored,
                             int quality) {
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &bytes, &size);
  jpeg.image_height = static_cast<JDIMENSION>(image.shape.height);
  jpeg.image_width = static_cast<JDIMENSION>(image.shape.width);
  jpeg.input_components = image.shape.channels;
  jpeg.in_color_space = given;
  jpeg_set_defaults(&jpeg);
  if (stored != JCS_UNKNOWN) jpeg_set_colorspace(&jpeg, stored);
  jpeg_set_quality(&jpeg, quality, TRUE);
  jpeg_start_compress(&jpeg, TRUE);
  std::vector<std::uint8_t> pixels = image.pixels;
  const std::size_t row_bytes = pixels.size() / static_cast<std::size_t>(image.shape.height);
  while (jpeg.next_scanline < jpeg.image_height) {
    JSAMPROW row = &pixels[jpeg.next_scanline * row_bytes];
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  std::string out(reinterpret_cast<const char*>(bytes), size);
  std::free(bytes);  // NOLINT: libjpeg allocates by malloc
  return out;
}

inline std::string encode_jpeg(const Image& image) {
  return encode_as(image, image.shape.channels == 1 ? JCS_GRAYSCALE : JCS_RGB, JCS_UNKNOWN, 75);
}

/// Of an image of four channels, 255 = no ink.
inline std::string encode_inks(const Image& image, J_COLOR_SPACE stored) {
  return encode_as(image, JCS_CMYK, stored, 98);
}

}  // namespace atelier::data
