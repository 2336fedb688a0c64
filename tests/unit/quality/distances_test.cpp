// Distances against double loops in double precision.
#include "trainer/quality/distances.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "launch/base/error.h"
#include "tests/unit/quality/oracles.h"

namespace atelier::quality {
namespace {

// Tests share their cores with others: one thread, as a rank has.
class OneThread final : public testing::Environment {
 public:
  void SetUp() override { at::set_num_threads(1); }
};
const auto* const kOneThread = testing::AddGlobalTestEnvironment(new OneThread);

// Rows around a far-away centre, where |a|² + |b|² - 2ab cancels badly unless centred.
torch::Tensor cloud(std::int64_t rows, std::int64_t dims, double offset, std::int64_t seed) {
  return seeded_normal({rows, dims}, seed) + offset;
}

void expect_near_relative(const torch::Tensor& found, const std::vector<double>& expected,
                          double tolerance) {
  ASSERT_EQ(found.numel(), static_cast<std::int64_t>(expected.size()));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto value = found[static_cast<std::int64_t>(i)].item<double>();
    ASSERT_NEAR(value, expected[i], tolerance * expected[i]) << "row " << i;
  }
}

TEST(MeanPairwiseDistance, equals_double_loop_across_tiles_and_offsets) {
  for (const double offset : {0.0, 300.0}) {
    const auto x = cloud(700, 9, offset, 1);

    const auto found = mean_pairwise_distance(x);

    const auto expected = oracle_mean_pairwise(x);
    EXPECT_NEAR(found, expected, 1e-4 * expected);
  }
}

TEST(MeanPairwiseDistance, of_equal_rows_is_exactly_zero) {
  const auto x = cloud(1, 3072, 0.5, 2).expand({600, 3072}).contiguous();

  EXPECT_EQ(mean_pairwise_distance(x), 0.0);
}

TEST(PairwiseDistances, parts_sum_to_the_whole) {
  const auto x = cloud(640, 12, 1.0, 3);
  const auto whole = pairwise_distances(x, {0, 640});

  double sum = 0.0;
  std::vector<torch::Tensor> nearest;
  for (const auto& [begin, end] : {std::pair{0, 1}, {1, 600}, {600, 600}, {600, 640}}) {
    const auto part = pairwise_distances(x, {begin, end});
    sum += part.sum;
    nearest.push_back(part.nearest);
  }

  EXPECT_NEAR(sum, whole.sum, 1e-6 * whole.sum);
  EXPECT_TRUE(torch::allclose(torch::cat(nearest), whole.nearest, 1e-5));
}

TEST(PairwiseDistances, nearest_leaves_out_the_row_itself) {
  const auto x = cloud(530, 6, 0.0, 4);

  const auto found = pairwise_distances(x, {0, 530}).nearest;

  std::vector<double> expected;
  for (std::int64_t i = 0; i < 530; ++i) {
    const auto others = torch::cat({x.slice(0, 0, i), x.slice(0, i + 1)});
    expected.push_back(oracle_nearest(x.slice(0, i, i + 1), others)[0]);
  }
  expect_near_relative(found, expected, 1e-4);
}

TEST(PairwiseDistances, range_outside_of_the_matrix_is_refused) {
  EXPECT_THROW((void)pairwise_distances(torch::zeros({4, 2}), {2, 5}), InternalError);
  EXPECT_THROW((void)mean_pairwise_distance(torch::zeros({1, 2})), InternalError);
}

TEST(NearestDistances, equal_double_loop_both_ways) {
  for (const double offset : {0.0, 300.0}) {
    const auto a = cloud(530, 7, offset, 5);
    const auto b = cloud(1100, 7, offset, 6);

    const auto found = nearest_distances(a, b);

    expect_near_relative(found.a_to_b, oracle_nearest(a, b), 1e-4);
    expect_near_relative(found.b_to_a, oracle_nearest(b, a), 1e-4);
  }
}

TEST(NearestDistances, near_copies_keep_their_digits) {
  // Rows of norm 55 with copies 0.05 … 0.5 away: the matrix product alone would lose the digits.
  const auto b = cloud(600, 3072, 0.0, 7);
  const auto steps = torch::linspace(1e-3, 1e-2, 50).unsqueeze(1);
  const auto a = b.slice(0, 300, 350) + steps * cloud(50, 3072, 0.0, 8);

  const auto found = nearest_distances(a, b);

  expect_near_relative(found.a_to_b, oracle_nearest(a, b), 1e-4);
  expect_near_relative(found.b_to_a, oracle_nearest(b, a), 1e-4);
}

TEST(NearestDistances, copies_are_at_distance_zero) {
  const auto b = cloud(600, 3072, 0.3, 9);

  const auto found = nearest_distances(b.slice(0, 550, 600).clone(), b);

  EXPECT_EQ(found.a_to_b.max().item<float>(), 0.0F);
  EXPECT_EQ((found.b_to_a == 0).sum().item<std::int64_t>(), 50);
}

TEST(NearestSearch, blocks_give_what_one_matrix_gives) {
  const auto a = cloud(40, 5, 0.0, 10);
  const auto b = cloud(90, 5, 0.0, 11);
  const auto whole = nearest_distances(a, b);

  NearestSearch search(a, b.mean(0));
  const auto first = search.add(b.slice(0, 0, 60));
  const auto none = search.add(b.slice(0, 60, 60));
  const auto second = search.add(b.slice(0, 60, 90));

  EXPECT_EQ(none.numel(), 0);
  EXPECT_TRUE(torch::allclose(torch::cat({first, second}), whole.b_to_a));
  EXPECT_TRUE(torch::allclose(search.a_to_b(), whole.a_to_b));
}

TEST(NearestSearch, before_the_first_row_all_is_infinitely_far) {
  const NearestSearch search(torch::zeros({2, 3}), torch::zeros({3}));

  EXPECT_EQ(search.a_to_b()[0].item<float>(), std::numeric_limits<float>::infinity());
}

TEST(ShareWithin, counts_values_up_to_the_threshold) {
  EXPECT_DOUBLE_EQ(share_within(torch::tensor({1.0F, 2.0F, 3.0F, 4.0F}), 2.0), 0.5);
  EXPECT_DOUBLE_EQ(share_within(torch::empty({0}), 2.0), 0.0);
}

}  // namespace
}  // namespace atelier::quality
