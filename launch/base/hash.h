// XXH3-64 (xxHash, https://xxhash.com): the checksum of blocks, chunks and manifests, and the
// identity of datasets, configurations and replicas. Not cryptographic: it finds damage, not
// attacks. A hash is printed as 16 lower-case hex digits. Thread safety: functions are pure; a
// Hasher has one user at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

struct XXH3_state_s;

namespace atelier {

/// Hash with seed 0 of the bytes.
[[nodiscard]] std::uint64_t xxh3_64(std::span<const std::byte> bytes);
[[nodiscard]] std::uint64_t xxh3_64(std::string_view bytes);

struct Hash128 {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  bool operator==(const Hash128&) const = default;
};

/// XXH3-128 with seed 0: where a difference missed once in 2^64 would be once too often.
[[nodiscard]] Hash128 xxh3_128(std::span<const std::byte> bytes);

/// The same hash as xxh3_64, fed piece by piece: any cutting of the input gives the same value.
class Hasher {
 public:
  Hasher();
  void update(std::span<const std::byte> bytes);
  void update(std::string_view bytes);
  /// Hash of everything fed since construction or the last reset; feeding may go on.
  [[nodiscard]] std::uint64_t value() const;
  void reset();

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const noexcept;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

/// 255 → "00000000000000ff".
[[nodiscard]] std::string to_hex(std::uint64_t value);

/// The inverse of to_hex; nothing unless `hex` is exactly 16 lower-case hex digits.
[[nodiscard]] std::optional<std::uint64_t> from_hex(std::string_view hex);

}  // namespace atelier
