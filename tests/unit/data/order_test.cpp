#include "data/order.h"

#include <cmath>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "launch/base/error.h"

namespace atelier::data {
namespace {

constexpr std::uint64_t kDataset = 0xD15EA5E;

TEST(Order, visits_every_sample_exactly_once_for_any_size) {
  std::vector<std::uint64_t> sizes{127, 128, 129, 255, 256, 257, 1000, 4099, 65536, 65537, 100003};
  for (std::uint64_t n = 1; n <= 70; ++n) sizes.push_back(n);
  for (const std::uint64_t n : sizes) {
    for (const std::uint64_t epoch : {0U, 1U, 12345U}) {
      const Order order(kDataset, 7, n);
      std::vector<bool> seen(n, false);

      for (std::uint64_t p = 0; p < n; ++p) {
        const std::uint64_t sample = order(epoch, p);
        ASSERT_LT(sample, n);
        ASSERT_FALSE(seen[sample]) << "n " << n << " position " << p;
        seen[sample] = true;
      }
    }
  }
}

TEST(Order, many_at_once_are_those_of_one_at_a_time) {
  for (const std::uint64_t n : {1U, 5U, 64U, 1000U, 70001U}) {
    const Order order(kDataset, 7, n);
    for (const std::uint64_t count : {1U, 63U, 64U, 65U, 200U}) {
      std::vector<std::uint64_t> found, expected;
      for (std::uint64_t i = 0; i < count; ++i) {
        found.push_back(i * 31 % n);
        expected.push_back(order(5, i * 31 % n));
      }
      order.find(5, found);
      EXPECT_EQ(found, expected) << n;
    }
  }
}

TEST(Permutation, has_an_inverse) {
  for (const std::uint64_t n : {1U, 2U, 3U, 63U, 64U, 65U, 1000U, 65536U, 65537U}) {
    const Permutation permutation(n);
    for (std::uint64_t value = 0; value < n; value += 1 + n / 500) {
      for (const std::uint64_t key : {0U, 99U}) {
        ASSERT_EQ(permutation.inverse(key, permutation(key, value)), value) << n;
      }
    }
  }
}

TEST(Order, reaches_2_to_the_40_samples) {
  const std::uint64_t n = (std::uint64_t{1} << 40U) - 7;
  const Order order(kDataset, 7, n);
  std::set<std::uint64_t> seen;

  for (std::uint64_t p = 0; p < 20000; ++p) {
    const std::uint64_t sample = order(3, n - 1 - p);
    EXPECT_LT(sample, n);
    seen.insert(sample);
  }

  EXPECT_EQ(seen.size(), 20000U);
}

TEST(Order, rejects_positions_behind_the_end) {
  const Order order(kDataset, 7, 10);

  EXPECT_THROW((void)order(0, 10), InternalError);
  EXPECT_THROW(Order(kDataset, 7, 0), InternalError);
}

// Values are part of the resume promise: a change here breaks running experiments.
TEST(Order, keeps_its_values) {
  const Order order(kDataset, 7, 1000);
  std::vector<std::uint64_t> first;

  for (std::uint64_t p = 0; p < 6; ++p) first.push_back(order(2, p));

  EXPECT_EQ(first, (std::vector<std::uint64_t>{419, 469, 19, 264, 917, 693}));
}

TEST(Order, differs_by_each_part_of_the_key) {
  const auto first_20 = [](const Order& order, std::uint64_t epoch) {
    std::vector<std::uint64_t> out;
    for (std::uint64_t p = 0; p < 20; ++p) out.push_back(order(epoch, p));
    return out;
  };
  const auto base = first_20(Order(kDataset, 7, 1000, 0), 0);

  EXPECT_EQ(base, first_20(Order(kDataset, 7, 1000, 0), 0));
  EXPECT_NE(base, first_20(Order(kDataset + 1, 7, 1000, 0), 0));
  EXPECT_NE(base, first_20(Order(kDataset, 8, 1000, 0), 0));
  EXPECT_NE(base, first_20(Order(kDataset, 7, 1000, 1), 0));
  EXPECT_NE(base, first_20(Order(kDataset, 7, 1000, 0), 1));
}

// Chi-square of where position p lands over many epochs, as a normal deviate.
double landing_deviation(std::uint64_t n, std::uint64_t position, std::uint64_t epochs) {
  const Order order(kDataset, 7, n);
  std::vector<double> counts(n, 0.0);
  for (std::uint64_t epoch = 0; epoch < epochs; ++epoch) ++counts[order(epoch, position)];
  const double expected = static_cast<double>(epochs) / static_cast<double>(n);
  double chi = 0;
  for (const double count : counts) chi += (count - expected) * (count - expected) / expected;
  const double freedom = static_cast<double>(n) - 1;
  return (chi - freedom) / std::sqrt(2 * freedom);
}

TEST(Order, spreads_each_position_evenly_over_epochs) {
  for (const std::uint64_t n : {2U, 3U, 5U, 6U, 7U, 10U, 16U, 17U, 100U, 1000U}) {
    for (const std::uint64_t position : {std::uint64_t{0}, std::uint64_t{1}, n / 2, n - 1})
      EXPECT_LT(std::abs(landing_deviation(n, position, n * 200)), 5.0) << n << " " << position;
  }
}

// All 24 (or 6) orders of a tiny set come equally often.
TEST(Order, reaches_all_permutations_of_tiny_sets_evenly) {
  for (const std::uint64_t n : {3U, 4U, 5U}) {
    std::vector<double> counts(static_cast<std::size_t>(std::pow(n, n)), 0.0);
    const Order order(kDataset, 7, n);
    double permutations = 1;
    for (std::uint64_t i = 2; i <= n; ++i) permutations *= static_cast<double>(i);
    const double expected = 400;

    for (std::uint64_t epoch = 0; epoch < static_cast<std::uint64_t>(permutations * expected);
         ++epoch) {
      std::size_t name = 0;
      for (std::uint64_t p = 0; p < n; ++p) name = name * n + order(epoch, p);
      ++counts[name];
    }

    double chi = 0;
    double seen = 0;
    for (const double count : counts) {
      if (count == 0) continue;
      chi += (count - expected) * (count - expected) / expected;
      ++seen;
    }
    EXPECT_EQ(seen, permutations);
    EXPECT_LT(std::abs(chi - (permutations - 1)) / std::sqrt(2 * (permutations - 1)), 5.0) << n;
  }
}

double correlation_of_neighbours(std::uint64_t n, std::uint64_t epoch) {
  const Order order(kDataset, 7, n);
  const double mean = (static_cast<double>(n) - 1) / 2;
  double product = 0;
  double square = 0;
  for (std::uint64_t p = 0; p + 1 < n; ++p) {
    const double here = static_cast<double>(order(epoch, p)) - mean;
    const double next = static_cast<double>(order(epoch, p + 1)) - mean;
    product += here * next;
    square += here * here;
  }
  return product / square * std::sqrt(static_cast<double>(n));
}

TEST(Order, neighbours_and_epochs_are_uncorrelated) {
  for (const std::uint64_t n : {1000U, 19000U, 50000U, 65536U}) {
    for (std::uint64_t epoch = 0; epoch < 4; ++epoch)
      EXPECT_LT(std::abs(correlation_of_neighbours(n, epoch)), 5.0) << n;
    const Order order(kDataset, 7, n);
    std::uint64_t same = 0;
    for (std::uint64_t p = 0; p < n; ++p) same += order(0, p) == order(1, p) ? 1 : 0;
    EXPECT_LT(same, 12U) << n;
  }
}

TEST(Slots, cut_the_batch_in_contiguous_near_equal_parts) {
  for (std::uint64_t batch : {1U, 2U, 7U, 64U, 1000U}) {
    for (int world = 1; world <= 9; ++world) {
      std::uint64_t next = 0;
      for (int rank = 0; rank < world; ++rank) {
        const SlotRange slots = slots_of(batch, {rank, world});
        EXPECT_EQ(slots.first, next);
        const std::uint64_t share = batch / static_cast<std::uint64_t>(world);
        EXPECT_TRUE(slots.count == share || slots.count == share + 1);
        next += slots.count;
      }
      EXPECT_EQ(next, batch);
    }
  }
  EXPECT_THROW((void)slots_of(8, {2, 2}), InternalError);
}

}  // namespace
}  // namespace atelier::data
