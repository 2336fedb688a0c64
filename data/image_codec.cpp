#include "data/image_codec.h"

#include <algorithm>
#include <array>

#include "data/image_formats.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::array<unsigned char, 3> kJpeg{0xFF, 0xD8, 0xFF};

template <std::size_t size>
bool begins_with(std::span<const std::byte> file, const std::array<unsigned char, size>& magic) {
  return file.size() >= size &&
         std::equal(magic.begin(), magic.end(), file.begin(),
                    [](unsigned char want, std::byte got) { return std::byte{want} == got; });
}

}  // namespace

void fail_decoding(const std::string& name, std::string_view why) {
  throw DataError(text("Cannot decode the image '", name, "': ", why, "."));
}

void check_decodable(const ImageShape& shape, const std::string& name) {
  const auto side = [](int n) { return n >= 1 && n <= kMaxImageSide; };
  if (!side(shape.height) || !side(shape.width) ||
      static_cast<std::uint64_t>(shape.height) * static_cast<std::uint64_t>(shape.width) >
          kMaxImagePixels) {
    fail_decoding(name,
                  text("its header states ", shape.width, " x ", shape.height, " pixels; at most ",
                       kMaxImageSide, " a side and ", kMaxImagePixels, " in all are read"));
  }
  if (shape.channels != 1 && shape.channels != 3)
    fail_decoding(name, text("it has ", shape.channels, " channels"));
}

Image decode_image(std::span<const std::byte> file, const std::string& name) {
  constexpr std::array<unsigned char, 8> kPng{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  if (file.empty()) fail_decoding(name, "it is empty");
  if (begins_with(file, kJpeg)) return decode_jpeg(file, name);
  if (begins_with(file, kPng)) return decode_png(file, name);
  constexpr std::array<unsigned char, 4> kRiff{'R', 'I', 'F', 'F'};
  constexpr std::array<unsigned char, 4> kWebp{'W', 'E', 'B', 'P'};
  if (begins_with(file, kRiff) &&
      begins_with(file.subspan(std::min<std::size_t>(8, file.size())), kWebp))
    return decode_webp(file, name);
  fail_decoding(name, "it is no JPEG, PNG or WebP file");
}

bool decode_image_to(std::span<const std::byte> file, const std::string& name,
                     const ImageShape& shape, std::span<std::uint8_t> out) {
  ATELIER_CHECK(out.size() == shape.bytes(), "room for the pixels");
  return begins_with(file, kJpeg) && decode_jpeg_to(file, name, shape, out);
}

}  // namespace atelier::data
