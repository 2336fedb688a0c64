#include "data/permutation.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "launch/base/error.h"
#include "launch/base/random.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15ULL;
// Values that are permuted side by side: a processor works on several while each waits for its own
// multiplications.
constexpr std::size_t kTogether = 64;

constexpr std::uint64_t mask_of(unsigned bits) { return (std::uint64_t{1} << bits) - 1; }

// What round `number` adds to the high half, given the low one.
std::uint64_t noise(std::uint64_t round_key, std::uint64_t low) { return mix64(round_key ^ low); }

std::uint64_t round_key(std::uint64_t key, unsigned number) {
  return mix64(key + number * kGolden);
}

}  // namespace

std::uint64_t mixed_key(std::uint64_t key, std::span<const std::uint64_t> parts) {
  for (const std::uint64_t part : parts) key = mix64((key + kGolden) ^ part);
  return key;
}

Permutation::Permutation(std::uint64_t n) : n_(n) {
  ATELIER_CHECK(n >= 1 && n <= (std::uint64_t{1} << 48U), text("permutation of ", n, " values"));
  const auto bits = std::max(2U, static_cast<unsigned>(std::bit_width(n - 1)));
  low_bits_ = (bits + 1) / 2;
  high_bits_ = bits - low_bits_;
  // Few bits per half mix slowly; rounds are cheap where the whole set is small.
  rounds_ = bits >= 16 ? 6 : 24;
}

std::uint64_t Permutation::operator()(std::uint64_t key, std::uint64_t value) const {
  std::array<std::uint64_t, 1> one{value};
  apply({&key, 1}, one);
  return one[0];
}

std::uint64_t Permutation::inverse(std::uint64_t key, std::uint64_t value) const {
  ATELIER_CHECK(value < n_, text("value ", value, " of ", n_));
  do {
    unsigned low_bits = low_bits_;
    unsigned high_bits = high_bits_;
    for (unsigned round = rounds_; round > 0; --round) {
      std::swap(low_bits, high_bits);
      // As the halves lay after the round: the former low one above.
      const std::uint64_t low = value >> high_bits;
      const std::uint64_t high = (value ^ noise(round_key(key, round), low)) & mask_of(high_bits);
      value = high << low_bits | low;
    }
  } while (value >= n_);
  return value;
}

// Values on their way through the network together.
class Permutation::Lot {
 public:
  Lot(std::span<const std::uint64_t> keys, std::span<std::uint64_t> values)
      : values_(values), left_(values.size()) {
    for (std::size_t i = 0; i < left_; ++i) {
      keys_[i] = keys.size() == 1 ? keys[0] : keys[i];
      inside_[i] = values[i];
      place_[i] = i;
    }
  }

  [[nodiscard]] std::size_t left() const { return left_; }

  void round(unsigned number, unsigned low_bits, unsigned high_bits) {
    const std::uint64_t low_mask = mask_of(low_bits);
    const std::uint64_t high_mask = mask_of(high_bits);
    for (std::size_t i = 0; i < left_; ++i) {
      const std::uint64_t low = inside_[i] & low_mask;
      const std::uint64_t added = noise(round_key(keys_[i], number), low);
      const std::uint64_t high = ((inside_[i] >> low_bits) ^ added) & high_mask;
      inside_[i] = low << high_bits | high;  // the halves change places, and with them their sizes
    }
  }

  /// Those that came out below `n` are done; the others go through once more.
  void settle(std::uint64_t n) {
    std::size_t outside = 0;
    for (std::size_t i = 0; i < left_; ++i) {
      if (inside_[i] < n) {
        values_[place_[i]] = inside_[i];
        continue;
      }
      keys_[outside] = keys_[i];
      inside_[outside] = inside_[i];
      place_[outside++] = place_[i];
    }
    left_ = outside;
  }

 private:
  std::span<std::uint64_t> values_;
  std::size_t left_;
  std::array<std::uint64_t, kTogether> keys_{};
  std::array<std::uint64_t, kTogether> inside_{};
  std::array<std::size_t, kTogether> place_{};
};

void Permutation::apply(std::span<const std::uint64_t> keys,
                        std::span<std::uint64_t> values) const {
  ATELIER_CHECK(keys.size() == 1 || keys.size() == values.size(), "one key, or one for each value");
  for (const std::uint64_t value : values) {
    ATELIER_CHECK(value < n_, text("value ", value, " of ", n_));
  }
  for (std::size_t first = 0; first < values.size(); first += kTogether) {
    const std::size_t count = std::min(kTogether, values.size() - first);
    Lot lot(keys.size() == 1 ? keys : keys.subspan(first, count), values.subspan(first, count));
    while (lot.left() > 0) {
      unsigned low_bits = low_bits_;
      unsigned high_bits = high_bits_;
      for (unsigned round = 1; round <= rounds_; ++round) {
        lot.round(round, low_bits, high_bits);
        std::swap(low_bits, high_bits);
      }
      lot.settle(n_);
    }
  }
}

}  // namespace atelier::data
