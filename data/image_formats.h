// What the decoders share: their entry points and their complaints. Thread safety: pure.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "data/image_codec.h"

namespace atelier::data {

[[nodiscard]] Image decode_jpeg(std::span<const std::byte> file, const std::string& name);
/// As decode_image_to().
[[nodiscard]] bool decode_jpeg_to(std::span<const std::byte> file, const std::string& name,
                                  const ImageShape& shape, std::span<std::uint8_t> out);
[[nodiscard]] Image decode_png(std::span<const std::byte> file, const std::string& name);
[[nodiscard]] Image decode_webp(std::span<const std::byte> file, const std::string& name);

/// Throws: DataError "Cannot decode 'name': why."
[[noreturn]] void fail_decoding(const std::string& name, std::string_view why);

/// Throws: DataError when the header states an image too large to be true.
void check_decodable(const ImageShape& shape, const std::string& name);

}  // namespace atelier::data
