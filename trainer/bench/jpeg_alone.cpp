#include "trainer/bench/jpeg_alone.h"

#include <csetjmp>
#include <cstdio>

#include <jpeglib.h>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::bench {

// libjpeg reports errors by longjmp; what it leaves holds no C++ object that needs destroying.
struct JpegAlone::Impl {
  jpeg_error_mgr errors{};
  std::jmp_buf jump{};
  jpeg_decompress_struct info{};

  static void on_error(j_common_ptr info) {
    std::longjmp(static_cast<Impl*>(info->client_data)->jump, 1);
  }

  bool decode(std::span<const std::byte> file, const data::ImageShape& shape, std::uint8_t* out) {
    if (setjmp(jump) != 0) return false;
    jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(file.data()),
                 static_cast<unsigned long>(file.size()));
    jpeg_read_header(&info, TRUE);
    info.out_color_space = shape.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_start_decompress(&info);
    if (static_cast<int>(info.output_height) != shape.height ||
        static_cast<int>(info.output_width) != shape.width)
      return false;
    const std::size_t row_bytes = shape.bytes() / static_cast<std::size_t>(shape.height);
    while (info.output_scanline < info.output_height) {
      JSAMPROW row = out + info.output_scanline * row_bytes;
      JSAMPROW rows[] = {row, row + row_bytes};  // NOLINT: two are ready at a time, mostly
      const bool last = info.output_scanline + 1 == info.output_height;
      jpeg_read_scanlines(&info, rows, last ? 1 : 2);
    }
    jpeg_finish_decompress(&info);
    return true;
  }
};

JpegAlone::JpegAlone() : impl_(std::make_unique<Impl>()) {
  impl_->info.err = jpeg_std_error(&impl_->errors);
  impl_->errors.error_exit = Impl::on_error;
  impl_->info.client_data = impl_.get();
  jpeg_create_decompress(&impl_->info);
}

JpegAlone::~JpegAlone() { jpeg_destroy_decompress(&impl_->info); }

void JpegAlone::decode(std::span<const std::byte> file, const data::ImageShape& shape,
                       std::span<std::uint8_t> out) {
  if (out.size() == shape.bytes() && impl_->decode(file, shape, out.data())) return;
  throw RefusedError(
      text("Decoding alone is measured for JPEG files of ", shape.name(), "; one is another."),
      "Import JPEG files of one size without --size.");
}

}  // namespace atelier::bench
