#include "data/permutation.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "launch/base/clones.h"
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

/// Sizes of the halves of a value, in bits, before a round.
struct Halves {
  unsigned low;
  unsigned high;
};

// The halves change places, and with them their sizes.
std::uint64_t after_round(std::uint64_t value, std::uint64_t round_key, Halves bits) {
  const std::uint64_t low = value & mask_of(bits.low);
  const std::uint64_t high = ((value >> bits.low) ^ noise(round_key, low)) & mask_of(bits.high);
  return low << bits.high | high;
}

// All of one key: that of an epoch, in which most is computed.
ATELIER_CLONES void shared_round(std::uint64_t* values, std::size_t count, std::uint64_t key,
                                 Halves bits) {
  for (std::size_t i = 0; i < count; ++i) values[i] = after_round(values[i], key, bits);
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
      : values_(values), left_(values.size()), one_key_(keys.size() == 1) {
    for (std::size_t i = 0; i < left_; ++i) {
      keys_[i] = keys.size() == 1 ? keys[0] : keys[i];
      inside_[i] = values[i];
      place_[i] = i;
    }
  }

  [[nodiscard]] std::size_t left() const { return left_; }

  void round(unsigned number, Halves bits) {
    if (one_key_) return shared_round(inside_.data(), left_, round_key(keys_[0], number), bits);
    for (std::size_t i = 0; i < left_; ++i)
      inside_[i] = after_round(inside_[i], round_key(keys_[i], number), bits);
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
  bool one_key_;
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
      Halves bits{low_bits_, high_bits_};
      for (unsigned round = 1; round <= rounds_; ++round) {
        lot.round(round, bits);
        std::swap(bits.low, bits.high);
      }
      lot.settle(n_);
    }
  }
}

}  // namespace atelier::data
