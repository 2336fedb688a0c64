#include <cstring>
#include <memory>

#include <webp/decode.h>
#include <webp/demux.h>

#include "data/exif.h"
#include "data/image_codec.h"
#include "data/image_formats.h"

namespace atelier::data {
namespace {

const std::uint8_t* bytes_of(std::span<const std::byte> file) {
  return reinterpret_cast<const std::uint8_t*>(file.data());
}

struct DeleteDemuxer {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};

int orientation_of(std::span<const std::byte> file) {
  const WebPData data{bytes_of(file), file.size()};
  const std::unique_ptr<WebPDemuxer, DeleteDemuxer> demuxer(WebPDemux(&data));
  if (!demuxer) return 1;
  WebPChunkIterator chunk{};
  if (WebPDemuxGetChunk(demuxer.get(), "EXIF", 1, &chunk) == 0) return 1;
  std::span<const std::uint8_t> exif(chunk.chunk.bytes, chunk.chunk.size);
  constexpr std::string_view kPrefix("Exif\0\0",
                                     6);  // some writers keep that of JPEG files
  if (exif.size() > kPrefix.size() &&
      std::memcmp(exif.data(), kPrefix.data(), kPrefix.size()) == 0) {
    exif = exif.subspan(kPrefix.size());
  }
  const int orientation = exif_orientation(exif);
  WebPDemuxReleaseChunkIterator(&chunk);
  return orientation;
}

std::uint8_t over_white(unsigned value, unsigned alpha) {
  return static_cast<std::uint8_t>((value * alpha + 255U * (255U - alpha) + 127U) / 255U);
}

}  // namespace

Image decode_webp(std::span<const std::byte> file, const std::string& name) {
  WebPBitstreamFeatures features{};
  if (WebPGetFeatures(bytes_of(file), file.size(), &features) != VP8_STATUS_OK)
    fail_decoding(name, "its WebP header is damaged");
  if (features.has_animation != 0) fail_decoding(name, "it is an animation");
  Image image{{features.height, features.width, 3}, {}};
  check_decodable(image.shape, name);
  const std::size_t pixels = image.shape.bytes() / 3;
  std::vector<std::uint8_t> rgba(pixels * 4);
  const std::uint8_t* const decoded =
      WebPDecodeRGBAInto(bytes_of(file), file.size(), rgba.data(), rgba.size(), features.width * 4);
  if (decoded == nullptr) fail_decoding(name, "its WebP data is damaged or ends too early");
  image.pixels.resize(image.shape.bytes());
  for (std::size_t i = 0; i < pixels; ++i) {
    for (std::size_t c = 0; c < 3; ++c)
      image.pixels[i * 3 + c] = over_white(rgba[i * 4 + c], rgba[i * 4 + 3]);
  }
  return upright(std::move(image), orientation_of(file));
}

}  // namespace atelier::data
