#include "data/order.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "launch/base/error.h"
#include "launch/base/random.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15ULL;
constexpr std::uint64_t kOrderVersion = 1;

}  // namespace

Order::Order(std::uint64_t dataset_hash, std::uint64_t seed, std::uint64_t n, std::uint64_t stream)
    : n_(n), key_(mix64(kOrderVersion * kGolden)) {
  ATELIER_CHECK(n >= 1 && n <= (std::uint64_t{1} << 48U), text("order over ", n, " samples"));
  for (const std::uint64_t part : {dataset_hash, seed, stream})
    key_ = mix64((key_ + kGolden) ^ part);
  const auto bits = std::max(2U, static_cast<unsigned>(std::bit_width(n - 1)));
  low_bits_ = (bits + 1) / 2;
  high_bits_ = bits - low_bits_;
  // Few bits per half mix slowly; rounds are cheap where the whole order is small.
  rounds_ = bits >= 16 ? 6 : 24;
}

std::uint64_t Order::operator()(std::uint64_t epoch, std::uint64_t position) const {
  ATELIER_CHECK(position < n_, text("position ", position, " of ", n_));
  const std::uint64_t epoch_key = mix64(key_ + epoch * kGolden);
  std::uint64_t value = position;
  do {
    unsigned low_bits = low_bits_;
    unsigned high_bits = high_bits_;
    for (unsigned round = 1; round <= rounds_; ++round) {
      const std::uint64_t low = value & ((std::uint64_t{1} << low_bits) - 1);
      const std::uint64_t noise = mix64(mix64(epoch_key + round * kGolden) ^ low);
      const std::uint64_t high =
          ((value >> low_bits) ^ noise) & ((std::uint64_t{1} << high_bits) - 1);
      value = low << high_bits | high;  // the halves change places, and with them their sizes
      std::swap(low_bits, high_bits);
    }
  } while (value >= n_);
  return value;
}

SlotRange slots_of(std::uint64_t global_batch, Shard shard) {
  ATELIER_CHECK(shard.world >= 1 && shard.rank >= 0 && shard.rank < shard.world,
                text("rank ", shard.rank, " of ", shard.world));
  const auto rank = static_cast<std::uint64_t>(shard.rank);
  const auto world = static_cast<std::uint64_t>(shard.world);
  const std::uint64_t share = global_batch / world;
  const std::uint64_t larger = global_batch % world;
  return {rank * share + std::min(rank, larger), share + (rank < larger ? 1 : 0)};
}

}  // namespace atelier::data
