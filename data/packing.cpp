#include "data/packing.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <zlib.h>

#include "data/image_codec.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

template <typename Value>
bool look_up(std::string_view name, const std::array<const char*, 3>& names, Value& value) {
  const auto found = std::find(names.begin(), names.end(), name);
  value = static_cast<Value>(found - names.begin());
  return found != names.end();
}

void inflate_to(std::span<const std::byte> stored, std::span<std::uint8_t> out) {
  auto size = static_cast<uLongf>(out.size());
  const int status =
      ::uncompress(out.data(), &size, reinterpret_cast<const Bytef*>(stored.data()), stored.size());
  if (status != Z_OK || size != out.size()) {
    throw DataError(text("Cannot unpack an image of ", out.size(), " bytes: its ", stored.size(),
                         " deflated bytes give ", status == Z_OK ? text(size) : "another number",
                         " or are damaged."));
  }
}

void decode_to(const Packing& packing, const ImageShape& shape, std::span<const std::byte> stored,
               std::span<std::uint8_t> out) {
  if (decode_image_to(stored, "", shape, out)) return;
  Image image = decode_image(stored, "");
  if (image.shape.height != shape.height || image.shape.width != shape.width) {
    image = resized(image, {.height = shape.height,
                            .width = shape.width,
                            .fit = packing.fit,
                            .filter = packing.filter});
  }
  if (image.shape.channels != shape.channels)
    image = with_channels(std::move(image), shape.channels);
  std::memcpy(out.data(), image.pixels.data(), out.size());
}

}  // namespace

std::string_view storage_name(Storage storage) {
  return kStorageNames.at(static_cast<std::size_t>(storage));
}

std::string_view fit_name(const Packing& packing) {
  return kFitNames.at(static_cast<std::size_t>(packing.fit));
}

std::string_view filter_name(const Packing& packing) {
  return kFilterNames.at(static_cast<std::size_t>(packing.filter));
}

std::optional<Packing> packing_from_names(std::string_view storage, std::string_view fit,
                                          std::string_view filter) {
  Packing packing;
  if (!look_up(storage, kStorageNames, packing.storage) || !look_up(fit, kFitNames, packing.fit) ||
      !look_up(filter, kFilterNames, packing.filter)) {
    return std::nullopt;
  }
  return packing;
}

std::vector<std::byte> deflated(std::span<const std::byte> pixels) {
  uLongf size = ::compressBound(pixels.size());
  std::vector<std::byte> out(size);
  const int status = ::compress2(reinterpret_cast<Bytef*>(out.data()), &size,
                                 reinterpret_cast<const Bytef*>(pixels.data()), pixels.size(),
                                 Z_DEFAULT_COMPRESSION);
  ATELIER_CHECK(status == Z_OK, "there is room for the deflated bytes");
  out.resize(size);
  return out;
}

void unpack(const Packing& packing, const ImageShape& shape, std::span<const std::byte> stored,
            std::span<std::uint8_t> out) {
  ATELIER_CHECK(out.size() == shape.bytes(), "room for one image");
  switch (packing.storage) {
    case Storage::kDeflate:
      return inflate_to(stored, out);
    case Storage::kEncoded:
      return decode_to(packing, shape, stored, out);
    case Storage::kRaw:
      ATELIER_CHECK(stored.size() == out.size(), "raw images are stored whole");
      std::memcpy(out.data(), stored.data(), out.size());
  }
}

std::vector<std::uint8_t> unpack_all(const Packing& packing, const ImageShape& shape,
                                     std::span<const std::byte> stored,
                                     std::span<const std::uint64_t> ends) {
  std::vector<std::uint8_t> pixels(ends.size() * shape.bytes());
  std::uint64_t begin = 0;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    unpack(packing, shape, stored.subspan(begin, ends[i] - begin),
           std::span(pixels).subspan(i * shape.bytes(), shape.bytes()));
    begin = ends[i];
  }
  return pixels;
}

}  // namespace atelier::data
