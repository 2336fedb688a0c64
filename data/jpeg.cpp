#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include <jerror.h>
#include <jpeglib.h>

#include "data/exif.h"
#include "data/image_formats.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

// libjpeg reports errors by longjmp. Each function that can be jumped out of holds no C++ object
// that needs destroying: objects live in the caller, and the jump ends inside this file.
namespace atelier::data {
namespace {

struct ErrorState {
  jpeg_error_mgr manager{};
  std::jmp_buf jump{};
  std::array<char, JMSG_LENGTH_MAX> message{};
};

[[noreturn]] void on_error(j_common_ptr info) {
  auto* state = reinterpret_cast<ErrorState*>(info->err);  // manager is its first member
  info->err->format_message(info, state->message.data());
  std::longjmp(state->jump, 1);
}

// Level -1 is a warning: something is wrong though decoding could go on. We do not guess pixels, so
// all are errors but those that cannot change one.
void on_message(j_common_ptr info, int level) {
  constexpr std::array<int, 4> kHarmless{JWRN_EXTRANEOUS_DATA, JWRN_ADOBE_XFORM, JWRN_TOO_MUCH_DATA,
                                         JWRN_JFIF_MAJOR};
  const bool harmless =
      std::find(kHarmless.begin(), kHarmless.end(), info->err->msg_code) != kHarmless.end();
  if (level < 0 && !harmless) on_error(info);
}

// A small progressive file can ask for thousands of passes over a large image.
void on_progress(j_common_ptr info) {
  constexpr int kMostScans = 200;
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMostScans) return;
  auto* state = reinterpret_cast<ErrorState*>(info->err);
  std::snprintf(state->message.data(), state->message.size(), "it has too many scans");
  std::longjmp(state->jump, 1);
}

struct Decompressor {
  ErrorState error;
  jpeg_progress_mgr progress{};
  jpeg_decompress_struct info{};
  Decompressor() {
    info.err = jpeg_std_error(&error.manager);
    error.manager.error_exit = on_error;
    error.manager.emit_message = on_message;
    progress.progress_monitor = on_progress;
  }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
  ~Decompressor() { jpeg_destroy_decompress(&info); }
};

bool is_cmyk(const jpeg_decompress_struct& info) {
  return info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
}

bool read_header(Decompressor& jpeg, std::span<const std::byte> file) {
  if (setjmp(jpeg.error.jump) != 0) return false;
  jpeg_create_decompress(&jpeg.info);
  jpeg.info.progress = &jpeg.progress;
  constexpr long kMostMemory = 1L << 30;  // progressive files buffer all coefficients
  jpeg.info.mem->max_memory_to_use = kMostMemory;
  jpeg_mem_src(&jpeg.info, reinterpret_cast<const unsigned char*>(file.data()),
               static_cast<unsigned long>(file.size()));
  jpeg_save_markers(&jpeg.info, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&jpeg.info, TRUE);
  jpeg.info.dct_method = JDCT_ISLOW;
  if (is_cmyk(jpeg.info)) {
    jpeg.info.out_color_space = JCS_CMYK;
  } else {
    jpeg.info.out_color_space = jpeg.info.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  }
  jpeg_calc_output_dimensions(&jpeg.info);
  return true;
}

// libjpeg-turbo writes a row past the processor's caches if it begins at a multiple of 32 bytes.
// As it is read again at once, that halves the speed of decoding (measured: 23 and 43 thousand
// images of 64x64 a second). So rows come to some that begin elsewhere first.
class UnalignedRows {
 public:
  explicit UnalignedRows(std::size_t bytes) {
    const std::size_t step = (bytes + kUnit - 1) / kUnit * kUnit;
    memory_.resize(rows_.size() * step + 2 * kUnit);
    const auto at = reinterpret_cast<std::uintptr_t>(memory_.data());
    std::uint8_t* row = memory_.data() + (kUnit - at % kUnit) + kUnit / 2;
    for (JSAMPROW& one : rows_) one = std::exchange(row, row + step);
  }
  [[nodiscard]] std::span<JSAMPROW> rows() { return rows_; }

 private:
  static constexpr std::size_t kUnit = 32;
  std::array<JSAMPROW, 2> rows_{};  // as many as libjpeg has ready at a time, mostly
  std::vector<std::uint8_t> memory_;
};

bool read_rows(Decompressor& jpeg, std::span<JSAMPROW> rows, std::uint8_t* out,
               std::size_t row_bytes) {
  if (setjmp(jpeg.error.jump) != 0) return false;
  jpeg_start_decompress(&jpeg.info);
  while (jpeg.info.output_scanline < jpeg.info.output_height) {
    std::uint8_t* const to = out + jpeg.info.output_scanline * row_bytes;
    const JDIMENSION count =
        jpeg_read_scanlines(&jpeg.info, rows.data(), static_cast<JDIMENSION>(rows.size()));
    for (JDIMENSION row = 0; row < count; ++row)
      std::memcpy(to + row * row_bytes, rows[row], row_bytes);
  }
  jpeg_finish_decompress(&jpeg.info);
  return true;
}

void decode_rows(Decompressor& jpeg, const std::string& name, std::uint8_t* out,
                 std::size_t row_bytes) {
  UnalignedRows unaligned(row_bytes);
  if (!read_rows(jpeg, unaligned.rows(), out, row_bytes))
    fail_decoding(name, jpeg.error.message.data());
}

// Files of the Adobe kind hold inverted inks; libjpeg hands out inks as stored.
std::vector<std::uint8_t> rgb_of_cmyk(const std::vector<std::uint8_t>& cmyk, bool inverted) {
  std::vector<std::uint8_t> rgb(cmyk.size() / 4 * 3);
  for (std::size_t pixel = 0; pixel < cmyk.size() / 4; ++pixel) {
    const auto light = [&](std::size_t ink) -> unsigned {
      const unsigned value = cmyk[pixel * 4 + ink];
      return inverted ? value : 255U - value;
    };
    for (std::size_t c = 0; c < 3; ++c)
      rgb[pixel * 3 + c] = static_cast<std::uint8_t>((light(c) * light(3) + 127U) / 255U);
  }
  return rgb;
}

int orientation_of(const jpeg_decompress_struct& info) {
  constexpr std::string_view kExif("Exif\0\0", 6);
  for (jpeg_saved_marker_ptr marker = info.marker_list; marker != nullptr; marker = marker->next) {
    const std::span<const std::uint8_t> data(marker->data, marker->data_length);
    if (data.size() < 14 || std::memcmp(data.data(), kExif.data(), kExif.size()) != 0) continue;
    return exif_orientation(data.subspan(kExif.size()));
  }
  return 1;
}

ImageShape shape_of(const jpeg_decompress_struct& info) {
  return {static_cast<int>(info.output_height), static_cast<int>(info.output_width),
          is_cmyk(info) ? 3 : info.output_components};
}

}  // namespace

Image decode_jpeg(std::span<const std::byte> file, const std::string& name) {
  Decompressor jpeg;
  if (!read_header(jpeg, file)) fail_decoding(name, jpeg.error.message.data());
  Image image;
  image.shape = shape_of(jpeg.info);
  check_decodable(image.shape, name);
  const std::size_t row_bytes = static_cast<std::size_t>(image.shape.width) *
                                static_cast<std::size_t>(jpeg.info.output_components);
  image.pixels.resize(row_bytes * static_cast<std::size_t>(image.shape.height));
  const int orientation = orientation_of(jpeg.info);
  decode_rows(jpeg, name, image.pixels.data(), row_bytes);
  if (is_cmyk(jpeg.info)) image.pixels = rgb_of_cmyk(image.pixels, jpeg.info.saw_Adobe_marker != 0);
  return upright(std::move(image), orientation);
}

bool decode_jpeg_to(std::span<const std::byte> file, const std::string& name,
                    const ImageShape& shape, std::span<std::uint8_t> out) {
  Decompressor jpeg;
  if (!read_header(jpeg, file)) fail_decoding(name, jpeg.error.message.data());
  if (shape_of(jpeg.info) != shape || is_cmyk(jpeg.info) || orientation_of(jpeg.info) != 1)
    return false;
  const std::size_t row_bytes = out.size() / static_cast<std::size_t>(shape.height);
  decode_rows(jpeg, name, out.data(), row_bytes);
  return true;
}

}  // namespace atelier::data
