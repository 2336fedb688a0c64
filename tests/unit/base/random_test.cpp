#include "launch/base/random.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "launch/base/error.h"

namespace atelier {
namespace {

constexpr std::uint64_t kTop48 = (std::uint64_t{1} << 48U) - 1;

std::vector<float> uniforms(const RandomKey& key, std::size_t count) {
  std::vector<float> out(count);
  fill_uniform(key, out);
  return out;
}

std::vector<float> normals(const RandomKey& key, std::size_t count) {
  std::vector<float> out(count);
  fill_normal(key, out);
  return out;
}

/// Mean of value^power.
double moment(const std::vector<float>& values, int power) {
  double sum = 0;
  for (const float value : values) sum += std::pow(static_cast<double>(value), power);
  return sum / static_cast<double>(values.size());
}

double correlation(const std::vector<float>& left, const std::vector<float>& right) {
  double sum = 0;
  for (std::size_t i = 0; i < left.size(); ++i) {
    sum += static_cast<double>(left[i]) * static_cast<double>(right[i]);
  }
  return sum / static_cast<double>(left.size());
}

// Known answers of Random123 (kat_vectors, "philox4x32 10").
TEST(Philox, published_vectors) {
  constexpr std::uint32_t kAll = 0xFFFFFFFFU;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627E8D5U, 0xE169C58DU, 0xBC57AC4CU, 0x9B00DBD8U}));
  EXPECT_EQ(philox4x32({kAll, kAll, kAll, kAll}, {kAll, kAll}),
            (PhiloxCounter{0x408F276DU, 0x41C83B0EU, 0xA20BC7C6U, 0x6D5451FDU}));
  EXPECT_EQ(
      philox4x32({0x243F6A88U, 0x85A308D3U, 0x13198A2EU, 0x03707344U}, {0xA4093822U, 0x299F31D0U}),
      (PhiloxCounter{0xD16CFE09U, 0x94FDCCEBU, 0x5001E420U, 0x24126EA1U}));
}

// SplitMix64 seeded with 0: its outputs are mix64 of the multiples of the golden ratio.
TEST(Mix64, published_vectors) {
  constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15ULL;
  EXPECT_EQ(mix64(kGolden), 0xE220A8397B1DCDAFULL);
  EXPECT_EQ(mix64(2 * kGolden), 0x6E789E6AA1B965F4ULL);
  EXPECT_EQ(mix64(3 * kGolden), 0x06C45D188009454FULL);
}

// These numbers are part of the promise that runs and datasets can be repeated: they never change.
// They were computed by a Python program written from the definitions in random.h.
TEST(Random, sequences_are_pinned) {
  const RandomKey key{42, Stream::kLatents, 7, 3};
  EXPECT_EQ(random_block(key, 5),
            (PhiloxCounter{2237093591U, 3545490238U, 2897148711U, 571692550U}));
  EXPECT_EQ(random_block({42, Stream::kLatents, (9ULL << 32U) + 7, 3}, 5),
            (PhiloxCounter{1842057856U, 835127701U, 1888478007U, 3069101196U}));

  const std::vector<float> uniform = uniforms(key, 4);
  const std::vector<float> normal = normals(key, 4);

  EXPECT_EQ(uniform, (std::vector{14720948 * 0x1p-24F, 15046019 * 0x1p-24F, 5516519 * 0x1p-24F,
                                  8317954 * 0x1p-24F}));
  constexpr std::array kNormal{0.40760584942428285, -0.3088008988513548, -1.4909701643662847,
                               0.03946063328674348};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_FLOAT_EQ(normal[i], static_cast<float>(kNormal.at(i)));
  }
}

TEST(Random, a_shorter_fill_is_a_prefix_of_a_longer_one) {
  const RandomKey key{1, Stream::kAugmentation, 2, 3};
  const std::vector<float> uniform = uniforms(key, 41);
  const std::vector<float> normal = normals(key, 41);
  for (std::size_t length = 0; length <= 41; ++length) {
    EXPECT_TRUE(std::equal(uniform.begin(), uniform.begin() + static_cast<std::ptrdiff_t>(length),
                           uniforms(key, length).begin()));
    EXPECT_TRUE(std::equal(normal.begin(), normal.begin() + static_cast<std::ptrdiff_t>(length),
                           normals(key, length).begin()));
  }
}

TEST(Random, uniform_numbers_are_uniform) {
  std::vector<float> values = uniforms({5, Stream::kSampling, 0, 0}, 1 << 20);
  const double n = static_cast<double>(values.size());

  EXPECT_GE(*std::min_element(values.begin(), values.end()), 0.0F);
  EXPECT_LT(*std::max_element(values.begin(), values.end()), 1.0F);
  EXPECT_NEAR(moment(values, 1), 1.0 / 2, 5 * std::sqrt(1.0 / 12 / n));
  EXPECT_NEAR(moment(values, 2), 1.0 / 3, 5 * std::sqrt(4.0 / 45 / n));
  std::sort(values.begin(), values.end());
  double distance = 0;  // Kolmogorov-Smirnov; 1.95 / sqrt(n) is passed once in a thousand
  for (std::size_t i = 0; i < values.size(); ++i) {
    distance = std::max(distance, std::abs(values[i] - static_cast<double>(i) / n));
  }
  EXPECT_LT(distance, 1.95 / std::sqrt(n));
}

TEST(Random, normal_numbers_are_normal) {
  std::vector<float> values = normals({5, Stream::kSampling, 0, 0}, 1 << 20);
  const double n = static_cast<double>(values.size());

  EXPECT_NEAR(moment(values, 1), 0, 5 / std::sqrt(n));
  EXPECT_NEAR(moment(values, 2), 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(moment(values, 3), 0, 5 * std::sqrt(15 / n));
  EXPECT_NEAR(moment(values, 4), 3, 5 * std::sqrt(96 / n));
  std::sort(values.begin(), values.end());
  double distance = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double below = 0.5 * std::erfc(-static_cast<double>(values[i]) / std::sqrt(2.0));
    distance = std::max(distance, std::abs(below - static_cast<double>(i) / n));
  }
  EXPECT_LT(distance, 1.95 / std::sqrt(n));
}

TEST(Random, sequences_of_neighbouring_keys_are_independent) {
  const std::size_t count = 1 << 16;
  const double bound = 5 / std::sqrt(static_cast<double>(count));
  const RandomKey key{9, Stream::kLatents, 100, 200};
  const std::vector<float> base = normals(key, count);
  for (const RandomKey& other :
       {RandomKey{10, key.stream, 100, 200}, RandomKey{9, Stream::kPosterior, 100, 200},
        RandomKey{9, key.stream, 101, 200}, RandomKey{9, key.stream, 100, 201},
        RandomKey{9, key.stream, 200, 100}, RandomKey{9, key.stream, 100 + (1ULL << 32U), 200},
        RandomKey{9, key.stream, 100, 200 + (1ULL << 32U)}}) {
    EXPECT_LT(std::abs(correlation(base, normals(other, count))), bound);
  }
  // Neighbours inside one sequence, the two halves of a Box-Muller pair among them.
  for (const std::size_t lag : {1U, 2U, 3U, 4U}) {
    const std::vector<float> shifted(base.begin() + static_cast<std::ptrdiff_t>(lag), base.end());
    EXPECT_LT(std::abs(correlation(shifted, base)), bound) << lag;
  }
}

TEST(Random, first_numbers_of_consecutive_keys_are_uniform) {
  // What a loader draws: one or two numbers for each of many samples.
  std::vector<float> firsts;
  for (std::uint64_t sample = 0; sample < 100000; ++sample) {
    firsts.push_back(uniforms({1, Stream::kAugmentation, 0, sample}, 1).front());
  }
  const double n = static_cast<double>(firsts.size());

  EXPECT_NEAR(moment(firsts, 1), 1.0 / 2, 5 * std::sqrt(1.0 / 12 / n));
  EXPECT_NEAR(moment(firsts, 2), 1.0 / 3, 5 * std::sqrt(4.0 / 45 / n));
}

TEST(Random, streams_and_positions_never_share_a_block) {
  std::set<PhiloxCounter> seen;
  std::size_t drawn = 0;
  for (const std::uint64_t seed : {0ULL, 1ULL, 2ULL, ~0ULL}) {
    for (std::uint32_t stream = 1; stream <= 12; ++stream) {
      for (const std::uint64_t major : {0ULL, 1ULL, 1ULL << 16U, 1ULL << 32U, 1ULL << 47U}) {
        for (const std::uint64_t minor : {0ULL, 1ULL, 1ULL << 16U, 1ULL << 32U, 1ULL << 47U}) {
          for (std::uint32_t block = 0; block < 40; ++block, ++drawn) {
            seen.insert(random_block({seed, static_cast<Stream>(stream), major, minor}, block));
          }
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), drawn);
}

TEST(Random, positions_beyond_48_bits_are_refused_instead_of_wrapped) {
  EXPECT_NO_THROW((void)random_block({1, Stream::kLatents, kTop48, kTop48}, 0));
  EXPECT_THROW((void)random_block({1, Stream::kLatents, kTop48 + 1, 0}, 0), InternalError);
  EXPECT_THROW((void)random_block({1, Stream::kLatents, 0, kTop48 + 1}, 0), InternalError);
  EXPECT_THROW((void)uniform_below({}, 0), InternalError);
}

TEST(UniformBelow, stays_in_range_and_hits_every_value_alike) {
  constexpr std::uint64_t kBound = 10;
  constexpr std::uint64_t kDraws = 100000;
  std::vector<double> hits(kBound);
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    const std::uint64_t value = uniform_below({3, Stream::kSplit, 0, i}, kBound);
    ASSERT_LT(value, kBound);
    hits[value] += 1;
  }
  double chi_square = 0;
  for (const double count : hits) {
    const double expected = static_cast<double>(kDraws) / static_cast<double>(kBound);
    chi_square += (count - expected) * (count - expected) / expected;
  }
  EXPECT_LT(chi_square, 27.9);  // 9 degrees of freedom, passed once in a thousand

  for (std::uint64_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(uniform_below({3, Stream::kSplit, 1, i}, 1), 0U);
    EXPECT_LT(uniform_below({3, Stream::kSplit, 2, i}, std::numeric_limits<std::uint64_t>::max()),
              std::numeric_limits<std::uint64_t>::max());
  }
}

}  // namespace
}  // namespace atelier
