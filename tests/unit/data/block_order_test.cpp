// The order in blocks: still every sample exactly once, from few blocks at a time, and how well it
// mixes a dataset that is sorted by class.
#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <map>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "data/order.h"
#include "launch/base/random.h"

namespace atelier::data {
namespace {

constexpr std::uint64_t kDataset = 0xD15EA5E;

std::vector<std::uint64_t> epoch_of(const Order& order, std::uint64_t epoch) {
  std::vector<std::uint64_t> samples(order.size());
  for (std::uint64_t p = 0; p < order.size(); ++p) samples[p] = p;
  order.find(epoch, samples);
  return samples;
}

TEST(BlockOrder, visits_every_sample_exactly_once_for_any_size_and_shape) {
  for (std::uint64_t i = 0; i < 3000; ++i) {
    const auto draw = [&](std::uint64_t what, std::uint64_t most) {
      return 1 + mix64(i * 8 + what) % most;
    };
    const std::uint64_t n = draw(0, i % 3 == 0 ? 40 : 3000);
    const BlockOrder blocks{.rows = draw(1, 90), .lanes = draw(2, 80), .window = draw(3, 9)};
    const Order order(kDataset, i, n, 0, blocks);
    std::vector<bool> seen(n, false);
    for (const std::uint64_t sample : epoch_of(order, i)) {
      ASSERT_LT(sample, n);
      ASSERT_FALSE(seen[sample]) << "n " << n << " rows " << blocks.rows << " lanes "
                                 << blocks.lanes << " window " << blocks.window;
      seen[sample] = true;
    }
  }
}

TEST(BlockOrder, one_position_is_what_many_are) {
  const Order order(kDataset, 7, 10007, 0, {});
  const auto all = epoch_of(order, 3);
  for (std::uint64_t p = 0; p < all.size(); p += 13) EXPECT_EQ(order(3, p), all[p]);
}

TEST(BlockOrder, keeps_its_values) {
  const Order order(kDataset, 7, 1000, 0, {.rows = 16, .lanes = 4, .window = 2});
  std::vector<std::uint64_t> first;
  for (std::uint64_t p = 0; p < 6; ++p) first.push_back(order(2, p));
  EXPECT_EQ(first, (std::vector<std::uint64_t>{678, 586, 465, 892, 672, 137}));
}

TEST(BlockOrder, differs_by_epoch_stream_and_shape) {
  const auto base = epoch_of(Order(kDataset, 7, 1000, 0, {}), 0);
  EXPECT_NE(base, epoch_of(Order(kDataset, 7, 1000, 0, {}), 1));
  EXPECT_NE(base, epoch_of(Order(kDataset, 7, 1000, 1, {}), 0));
  EXPECT_NE(base, epoch_of(Order(kDataset, 7, 1000, 0, {.window = 5}), 0));
}

// Each block is come to once, is used until it is done, and few are in use at a time.
TEST(BlockOrder, few_blocks_are_in_use_at_once) {
  const BlockOrder blocks{.rows = 32, .lanes = 8, .window = 4};
  const Order order(kDataset, 7, 100003, 0, blocks);
  const auto samples = epoch_of(order, 0);
  std::map<std::uint64_t, std::array<std::size_t, 2>> in_use;  // by block: first and last position
  for (std::size_t p = 0; p < samples.size(); ++p) {
    const auto [at, is_new] = in_use.try_emplace(samples[p] / blocks.rows, std::array{p, p});
    at->second[1] = p;
  }
  std::vector<int> change(samples.size() + 1);
  for (const auto& [block, positions] : in_use) {
    ++change[positions[0]];
    --change[positions[1] + 1];
  }
  int now = 0, most = 0;
  for (const int step : change) most = std::max(most, now += step);
  // A window begins and ends within a block, which its neighbour uses too.
  EXPECT_LE(most, static_cast<int>(blocks.lanes * (2 * blocks.window + 2)));
}

// Chi-square of where position p lands over many epochs, as a normal deviate.
TEST(BlockOrder, spreads_each_position_evenly_over_epochs) {
  for (const std::uint64_t n : {10U, 100U, 1000U}) {
    const Order order(kDataset, 7, n, 0, {.rows = 7, .lanes = 3, .window = 2});
    for (const std::uint64_t position : {std::uint64_t{0}, n / 2, n - 1}) {
      std::vector<double> counts(n, 0.0);
      for (std::uint64_t epoch = 0; epoch < n * 200; ++epoch) ++counts[order(epoch, position)];
      double chi = 0;
      for (const double count : counts) chi += (count - 200) * (count - 200) / 200;
      const double freedom = static_cast<double>(n) - 1;
      EXPECT_LT(std::abs(chi - freedom) / std::sqrt(2 * freedom), 5.0) << n << " " << position;
    }
  }
}

// Mean number of classes in a batch of 256 from 100,000 samples sorted by 200 classes.
double classes_in_a_batch(const Order& order) {
  constexpr std::uint64_t kBatch = 256;
  const auto samples = epoch_of(order, 0);
  double sum = 0, batches = 0;
  for (std::size_t first = 0; first + kBatch <= samples.size(); first += kBatch) {
    std::set<std::uint64_t> classes;
    for (std::size_t i = first; i < first + kBatch; ++i) classes.insert(samples[i] / 500);
    sum += static_cast<double>(classes.size());
    ++batches;
  }
  return sum / batches;
}

TEST(BlockOrder, mixes_what_is_sorted) {
  constexpr std::uint64_t n = 100000;
  EXPECT_NEAR(classes_in_a_batch(Order(kDataset, 7, n)), 144.7, 1);
  EXPECT_NEAR(classes_in_a_batch(Order(kDataset, 7, n, 0, {.lanes = 64, .window = 4})), 123, 4);
  EXPECT_NEAR(classes_in_a_batch(Order(kDataset, 7, n, 0, {.lanes = 64, .window = 1})), 84, 5);
  EXPECT_NEAR(classes_in_a_batch(Order(kDataset, 7, n, 0, {.lanes = 16, .window = 1})), 29, 4);
}

}  // namespace
}  // namespace atelier::data
