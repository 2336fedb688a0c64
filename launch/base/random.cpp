#include "launch/base/random.h"

#include <cmath>
#include <numbers>

#include "launch/base/error.h"

namespace atelier {
namespace {

constexpr std::uint32_t kMultiplier0 = 0xD2511F53U;
constexpr std::uint32_t kMultiplier1 = 0xCD9E8D57U;
constexpr std::uint32_t kWeyl0 = 0x9E3779B9U;
constexpr std::uint32_t kWeyl1 = 0xBB67AE85U;
constexpr int kRounds = 10;
constexpr unsigned kPositionBits = 48;
constexpr std::size_t kMaxNumbers = std::size_t{4} << 32U;  // four to a block, 2^32 blocks

constexpr std::uint32_t low(std::uint64_t word) { return static_cast<std::uint32_t>(word); }
constexpr std::uint32_t high(std::uint64_t word) { return static_cast<std::uint32_t>(word >> 32U); }

// 32 random bits → (0, 1]: never 0, so that its logarithm is finite.
double open_uniform(std::uint32_t bits) { return (static_cast<double>(bits) + 1.0) * 0x1.0p-32; }

}  // namespace

PhiloxCounter philox4x32(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t product0 = std::uint64_t{kMultiplier0} * counter[0];
    const std::uint64_t product1 = std::uint64_t{kMultiplier1} * counter[2];
    counter = {high(product1) ^ counter[1] ^ key[0], low(product1),
               high(product0) ^ counter[3] ^ key[1], low(product0)};
    key = {key[0] + kWeyl0, key[1] + kWeyl1};
  }
  return counter;
}

PhiloxCounter random_block(const RandomKey& key, std::uint32_t block) {
  ATELIER_CHECK((key.major | key.minor) >> kPositionBits == 0, "a position is below 2^48");
  // Seed and stream make the Philox key; positions make the counter, 48 bits each beside the block.
  const std::uint64_t mixed =
      mix64(mix64(key.seed + 0x9E3779B97F4A7C15ULL) + static_cast<std::uint64_t>(key.stream));
  const std::uint32_t tops = (high(key.major) & 0xFFFFU) << 16U | (high(key.minor) & 0xFFFFU);
  return philox4x32({block, low(key.minor), low(key.major), tops}, {low(mixed), high(mixed)});
}

void fill_uniform(const RandomKey& key, std::span<float> out) {
  ATELIER_CHECK(out.size() <= kMaxNumbers, "the sequence of a key is over");
  PhiloxCounter words{};
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (i % 4 == 0) words = random_block(key, static_cast<std::uint32_t>(i / 4));
    out[i] = static_cast<float>(words.at(i % 4) >> 8U) * 0x1.0p-24F;
  }
}

void fill_normal(const RandomKey& key, std::span<float> out) {
  ATELIER_CHECK(out.size() <= kMaxNumbers, "the sequence of a key is over");
  std::array<float, 4> normals{};
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (i % 4 == 0) {
      const PhiloxCounter words = random_block(key, static_cast<std::uint32_t>(i / 4));
      for (std::size_t pair = 0; pair < 4; pair += 2) {
        const double radius = std::sqrt(-2.0 * std::log(open_uniform(words.at(pair))));
        const double angle = 2.0 * std::numbers::pi * open_uniform(words.at(pair + 1));
        normals.at(pair) = static_cast<float>(radius * std::cos(angle));
        normals.at(pair + 1) = static_cast<float>(radius * std::sin(angle));
      }
    }
    out[i] = normals.at(i % 4);
  }
}

std::uint64_t uniform_below(const RandomKey& key, std::uint64_t bound) {
  ATELIER_CHECK(bound > 0, "there is no number below zero");
  const PhiloxCounter words = random_block(key, 0);
  const std::uint64_t bits = std::uint64_t{words[0]} << 32U | words[1];
  return static_cast<std::uint64_t>(static_cast<unsigned __int128>(bits) * bound >> 64U);
}

}  // namespace atelier
