// How the pixels of an image are stored: as they are, deflated one by one, or as the image file
// they came from. Thread safety: pure functions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "data/layout.h"
#include "data/resize.h"

namespace atelier::data {

enum class Storage : std::uint8_t {
  kRaw,      ///< all images take the same room
  kDeflate,  ///< for flat pictures: glyphs, masks
  kEncoded   ///< JPEG, PNG or WebP, for photographs too many to store raw
};
/// As users write them, in the order of the values.
inline constexpr std::array<const char*, 3> kStorageNames{"raw", "deflate", "encoded"};
[[nodiscard]] std::string_view storage_name(Storage storage);

struct Packing {
  Storage storage = Storage::kRaw;
  Fit fit = Fit::kCrop;  ///< of kEncoded: how the picture of a file gets the dataset's size
  Filter filter = Filter::kLanczos;  ///< likewise
  /// Whether images take as many bytes as it happens.
  [[nodiscard]] bool varies() const { return storage != Storage::kRaw; }
  bool operator==(const Packing&) const = default;
};
[[nodiscard]] std::string_view fit_name(const Packing& packing);
[[nodiscard]] std::string_view filter_name(const Packing& packing);
/// Nothing when there is no such storage, fit or filter.
[[nodiscard]] std::optional<Packing> packing_from_names(std::string_view storage,
                                                        std::string_view fit,
                                                        std::string_view filter);

/// More of one image or one block is refused as damage or attack. Units: bytes as stored.
inline constexpr std::uint64_t kMaxStoredImage = std::uint64_t{256} << 20U;
inline constexpr std::uint64_t kMaxStoredBlock = std::uint64_t{1} << 30U;

/// One stream of RFC 1950.
[[nodiscard]] std::vector<std::byte> deflated(std::span<const std::byte> pixels);

/// The pixels of a stored image. Shapes: out [H, W, C] of `shape`. Throws: DataError when they are
/// not as many, or `stored` is no such stream or file.
void unpack(const Packing& packing, const ImageShape& shape, std::span<const std::byte> stored,
            std::span<std::uint8_t> out);

/// Those of images stored one behind the other; `ends`: of each. Shapes: [ends, H, W, C].
[[nodiscard]] std::vector<std::uint8_t> unpack_all(const Packing& packing, const ImageShape& shape,
                                                   std::span<const std::byte> stored,
                                                   std::span<const std::uint64_t> ends);

}  // namespace atelier::data
