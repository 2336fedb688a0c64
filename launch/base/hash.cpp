#include "launch/base/hash.h"

#include <new>

#include <xxhash.h>

#include "launch/base/error.h"

namespace atelier {
namespace {

constexpr std::string_view kDigits = "0123456789abcdef";
constexpr std::size_t kHexLength = 16;

}  // namespace

std::uint64_t xxh3_64(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::uint64_t xxh3_64(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

Hash128 xxh3_128(std::span<const std::byte> bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {.low = hash.low64, .high = hash.high64};
}

Hasher::Hasher() : state_(XXH3_createState()) {
  if (!state_) throw std::bad_alloc();
  reset();
}

void Hasher::Free::operator()(XXH3_state_s* state) const noexcept { XXH3_freeState(state); }

void Hasher::update(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const auto status = XXH3_64bits_update(state_.get(), bytes.data(), bytes.size());
  ATELIER_CHECK(status == XXH_OK, "XXH3_64bits_update failed");
}

void Hasher::update(std::string_view bytes) { update(std::as_bytes(std::span(bytes))); }

std::uint64_t Hasher::value() const { return XXH3_64bits_digest(state_.get()); }

void Hasher::reset() {
  ATELIER_CHECK(XXH3_64bits_reset(state_.get()) == XXH_OK, "XXH3_64bits_reset failed");
}

std::string to_hex(std::uint64_t value) {
  std::string hex(kHexLength, '0');
  for (std::size_t i = kHexLength; i-- > 0; value >>= 4U) hex[i] = kDigits[value & 0xFU];
  return hex;
}

std::optional<std::uint64_t> from_hex(std::string_view hex) {
  if (hex.size() != kHexLength) return std::nullopt;
  std::uint64_t value = 0;
  for (const char digit : hex) {
    const std::size_t at = kDigits.find(digit);
    if (at == std::string_view::npos) return std::nullopt;
    value = value << 4U | at;
  }
  return value;
}

}  // namespace atelier
