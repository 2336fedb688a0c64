#include <csetjmp>
#include <cstring>

#include <png.h>

#include "data/image_codec.h"
#include "data/image_formats.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

// libpng reports errors by longjmp. Each function that can be jumped out of holds no C++ object
// that needs destroying: objects live in the caller, and the jump ends inside this file.
namespace atelier::data {
namespace {

struct Problem {
  std::string message;
};

void on_error(png_structp png, png_const_charp message) {
  static_cast<Problem*>(png_get_error_ptr(png))->message = message;
  png_longjmp(png, 1);
}

void on_warning(png_structp /*png*/, png_const_charp /*message*/) {}

struct Input {
  std::span<const std::byte> left;
};

void read_bytes(png_structp png, png_bytep out, std::size_t count) {
  auto& input = *static_cast<Input*>(png_get_io_ptr(png));
  if (count > input.left.size()) png_error(png, "the file ends too early");
  std::memcpy(out, input.left.data(), count);
  input.left = input.left.subspan(count);
}

void append_bytes(png_structp png, png_bytep bytes, std::size_t count) {
  static_cast<std::string*>(png_get_io_ptr(png))
      ->append(reinterpret_cast<const char*>(bytes), count);
}

void flush_nothing(png_structp /*png*/) {}

struct Reading {
  png_structp png = nullptr;
  png_infop info = nullptr;
  Reading() = default;
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;
  ~Reading() { png_destroy_read_struct(&png, &info, nullptr); }
};

struct Writing {
  png_structp png = nullptr;
  png_infop info = nullptr;
  Writing() = default;
  Writing(const Writing&) = delete;
  Writing& operator=(const Writing&) = delete;
  ~Writing() { png_destroy_write_struct(&png, &info); }
};

bool read_header(Reading& reading, ImageShape& shape) {
  if (setjmp(png_jmpbuf(reading.png)) != 0) return false;
  png_set_user_limits(reading.png, kMaxImageSide, kMaxImageSide);
  png_set_chunk_malloc_max(reading.png, 8U << 20U);
  png_read_info(reading.png, reading.info);
  const int colour = png_get_color_type(reading.png, reading.info);
  const bool transparent = png_get_valid(reading.png, reading.info, PNG_INFO_tRNS) != 0;
  png_set_expand(reading.png);  // palette → RGB, 1, 2, 4 bits → 8, tRNS → alpha
  png_set_scale_16(reading.png);
  if ((colour & PNG_COLOR_MASK_ALPHA) != 0 || transparent) {
    png_color_16 white{0, 0xFF, 0xFF, 0xFF, 0xFF};
    // Values are those of the file's own depth; libpng scales nothing here.
    if (png_get_bit_depth(reading.png, reading.info) == 16)
      white = {0, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF};
    png_set_background(reading.png, &white, PNG_BACKGROUND_GAMMA_SCREEN, 0, 1.0);
  }
  png_set_interlace_handling(reading.png);
  png_read_update_info(reading.png, reading.info);
  shape = {static_cast<int>(png_get_image_height(reading.png, reading.info)),
           static_cast<int>(png_get_image_width(reading.png, reading.info)),
           png_get_channels(reading.png, reading.info)};
  return true;
}

bool read_rows(Reading& reading, png_bytepp rows) {
  if (setjmp(png_jmpbuf(reading.png)) != 0) return false;
  png_read_image(reading.png, rows);
  png_read_end(reading.png, nullptr);
  return true;
}

bool write_rows(Writing& writing, const ImageShape& shape, png_bytepp rows) {
  if (setjmp(png_jmpbuf(writing.png)) != 0) return false;
  png_set_IHDR(writing.png, writing.info, static_cast<png_uint_32>(shape.width),
               static_cast<png_uint_32>(shape.height), 8,
               shape.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(writing.png, writing.info);
  png_write_image(writing.png, rows);
  png_write_end(writing.png, nullptr);
  return true;
}

std::vector<png_bytep> row_pointers(const ImageShape& shape, std::uint8_t* pixels) {
  std::vector<png_bytep> rows;
  const std::size_t row_bytes = shape.bytes() / static_cast<std::size_t>(shape.height);
  for (std::size_t y = 0; y < static_cast<std::size_t>(shape.height); ++y)
    rows.push_back(pixels + y * row_bytes);
  return rows;
}

}  // namespace

Image decode_png(std::span<const std::byte> file, const std::string& name) {
  Problem problem;
  Input input{file};
  Reading reading;
  reading.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &problem, on_error, on_warning);
  if (reading.png != nullptr) reading.info = png_create_info_struct(reading.png);
  if (reading.info == nullptr) throw InternalError("libpng could not be started.");
  png_set_read_fn(reading.png, &input, read_bytes);
  Image image;
  if (!read_header(reading, image.shape)) fail_decoding(name, problem.message);
  check_decodable(image.shape, name);
  // Deflate packs at most 1032 to 1; one bit per pixel is the most compact kind.
  if (image.shape.bytes() / 8 / 3 > file.size() * 1032)
    fail_decoding(name, "it is too short for the size its header states");
  image.pixels.resize(image.shape.bytes());
  std::vector<png_bytep> rows = row_pointers(image.shape, image.pixels.data());
  if (!read_rows(reading, rows.data())) fail_decoding(name, problem.message);
  return image;
}

std::string encode_png(const ImageShape& shape, std::span<const std::uint8_t> pixels) {
  if (shape.height < 1 || shape.width < 1 || (shape.channels != 1 && shape.channels != 3) ||
      pixels.size() != shape.bytes())
    throw DataError(text("Cannot write ", pixels.size(), " bytes as a PNG of ", shape.name(), "."));
  Problem problem;
  std::string out;
  Writing writing;
  writing.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &problem, on_error, on_warning);
  if (writing.png != nullptr) writing.info = png_create_info_struct(writing.png);
  if (writing.info == nullptr) throw InternalError("libpng could not be started.");
  png_set_write_fn(writing.png, &out, append_bytes, flush_nothing);
  std::vector<std::uint8_t> copy(pixels.begin(), pixels.end());  // libpng's rows are not const
  std::vector<png_bytep> rows = row_pointers(shape, copy.data());
  if (!write_rows(writing, shape, rows.data()))
    throw InternalError(text("libpng could not encode: ", problem.message, "."));
  return out;
}

void write_png(FileSystem& files, const Path& path, const ImageShape& shape,
               std::span<const std::uint8_t> pixels) {
  write_atomically(files, path, encode_png(shape, pixels));
}

}  // namespace atelier::data
