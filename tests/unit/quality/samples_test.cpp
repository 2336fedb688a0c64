// Sample indicators: against double loops, on sets of which the answer is known, on 1 to 4 ranks.
#include "trainer/quality/samples.h"

#include <cmath>

#include <gtest/gtest.h>

#include "launch/base/error.h"
#include "launch/comm/self_comm.h"
#include "launch/comm/thread_comm.h"
#include "tests/unit/quality/oracles.h"
#include "trainer/quality/pixels.h"
#include "trainer/quality/sharing.h"

namespace atelier::quality {
namespace {

constexpr std::int64_t kSize = 8;

// Real images of one distribution, split; 1 is what samples of that distribution should score.
struct World {
  torch::Tensor train = smooth_images(1600, kSize, 1);
  torch::Tensor held_out = smooth_images(200, kSize, 2);
  torch::Tensor fresh = smooth_images(200, kSize, 3);
  comm::SelfComm comm;
  RealReference reference{train, held_out, comm};

  SampleIndicators measure(const torch::Tensor& fakes) {
    return measure_samples(reference, fakes, comm);
  }
};

// [N,C,H,W] in [-1,1], as a generator gives them.
torch::Tensor as_floats(const torch::Tensor& bytes) {
  return (bytes.to(torch::kFloat32) / 127.5 - 1.0).permute({0, 3, 1, 2});
}

TEST(MeasureSamples, equals_double_loops) {
  World world;

  const auto found = world.measure(as_floats(world.fresh));

  const auto fake = flat_pixels(world.fresh);
  const auto real = flat_pixels(world.held_out);
  const auto train = flat_pixels(world.train);
  EXPECT_NEAR(found.pairwise_ratio, oracle_mean_pairwise(fake) / oracle_mean_pairwise(real), 1e-4);
  EXPECT_NEAR(found.nn_fake_to_real_ratio,
              oracle_mean(oracle_nearest(fake, train)) / oracle_mean(oracle_nearest(real, train)),
              1e-4);
  EXPECT_NEAR(found.nn_real_to_fake_ratio,
              oracle_mean(oracle_nearest(train, fake)) / oracle_mean(oracle_nearest(train, real)),
              1e-4);
  EXPECT_EQ(found.samples, 200);
  EXPECT_EQ(found.train_images, 1600);
}

TEST(MeasureSamples, of_held_out_images_are_one) {
  World world;

  const auto found = world.measure(world.held_out);

  EXPECT_DOUBLE_EQ(found.pairwise_ratio, 1.0);
  EXPECT_DOUBLE_EQ(found.nn_fake_to_real_ratio, 1.0);
  EXPECT_DOUBLE_EQ(found.nn_real_to_fake_ratio, 1.0);
  EXPECT_DOUBLE_EQ(found.feature_std_ratio, 1.0);
  EXPECT_NEAR(found.duplicate_share, RealReference::kDuplicateQuantile, 0.011);
}

TEST(MeasureSamples, of_fresh_real_images_are_about_one) {
  World world;

  const auto found = world.measure(world.fresh);

  EXPECT_NEAR(found.pairwise_ratio, 1.0, 0.05);
  EXPECT_NEAR(found.nn_fake_to_real_ratio, 1.0, 0.05);
  EXPECT_NEAR(found.nn_real_to_fake_ratio, 1.0, 0.05);
  EXPECT_NEAR(found.feature_std_ratio, 1.0, 0.05);
}

TEST(MeasureSamples, tell_noise_from_images_where_pairwise_does_not) {
  World world;
  // White noise with the pixel mean and deviation of the real images.
  const auto real = as_floats(world.held_out);
  const auto noise = seeded_normal(real.sizes(), 4) * real.std(0) + real.mean(0);

  const auto found = world.measure(noise);

  EXPECT_NEAR(found.pairwise_ratio, 1.0, 0.1);
  EXPECT_NEAR(found.feature_std_ratio, 1.0, 0.1);
  EXPECT_GT(found.nn_fake_to_real_ratio, 1.5);
  EXPECT_GT(found.nn_real_to_fake_ratio, 1.5);
}

TEST(MeasureSamples, find_a_generator_of_ten_images) {
  World world;

  const auto found = world.measure(world.fresh.slice(0, 0, 10).repeat({20, 1, 1, 1}));

  EXPECT_LT(found.pairwise_ratio, 0.95);
  EXPECT_GT(found.nn_real_to_fake_ratio, 1.3);
  EXPECT_DOUBLE_EQ(found.duplicate_share, 1.0);
}

TEST(MeasureSamples, of_one_image_are_zero_spread) {
  World world;

  const auto found = world.measure(world.fresh.slice(0, 0, 1).expand({200, kSize, kSize, 3}));

  EXPECT_DOUBLE_EQ(found.pairwise_ratio, 0.0);
  EXPECT_NEAR(found.feature_std_ratio, 0.0, 1e-6);
  EXPECT_GT(found.nn_real_to_fake_ratio, 1.5);
  EXPECT_DOUBLE_EQ(found.duplicate_share, 1.0);
}

TEST(MeasureSamples, of_training_images_are_at_distance_zero) {
  World world;

  const auto found = world.measure(world.train.slice(0, 100, 300));

  EXPECT_DOUBLE_EQ(found.nn_fake_to_real_ratio, 0.0);
}

TEST(MeasureSamples, clip_as_a_picture_does) {
  World world;
  const auto fakes = as_floats(world.fresh) * 3.0;

  EXPECT_DOUBLE_EQ(world.measure(fakes).pairwise_ratio,
                   world.measure(fakes.clamp(-1, 1)).pairwise_ratio);
}

TEST(MeasureSamples, with_a_non_finite_sample_are_undefined_and_counted) {
  World world;
  for (const float bad : {NAN, INFINITY}) {
    auto fakes = as_floats(world.fresh).clone();
    fakes[3][0][1][2] = bad;
    fakes[7].fill_(bad);

    const auto found = world.measure(fakes);

    EXPECT_EQ(found.non_finite, 2);
    EXPECT_TRUE(std::isnan(found.pairwise_ratio));
    EXPECT_TRUE(std::isnan(found.nn_fake_to_real_ratio));
    EXPECT_TRUE(std::isnan(found.nn_real_to_fake_ratio));
    EXPECT_TRUE(std::isnan(found.feature_std_ratio));
  }
}

TEST(MeasureSamples, leave_out_samples_beyond_the_held_out_count) {
  World world;
  const auto more = torch::cat({world.fresh, world.train.slice(0, 0, 50)});

  const auto found = world.measure(more);

  EXPECT_EQ(found.samples, 200);
  EXPECT_EQ(found.nn_fake_to_real_ratio, world.measure(world.fresh).nn_fake_to_real_ratio);
  EXPECT_THROW((void)world.measure(world.fresh.slice(0, 0, 199)), InternalError);
}

TEST(MeasureSamples, are_undefined_where_real_images_do_not_vary) {
  comm::SelfComm comm;
  const auto flat = torch::full({20, kSize, kSize, 1}, 7, torch::kUInt8);
  const RealReference reference(flat, flat.slice(0, 0, 5), comm);

  const auto found = measure_samples(reference, flat, comm);

  EXPECT_TRUE(std::isnan(found.pairwise_ratio));
  EXPECT_TRUE(std::isnan(found.nn_fake_to_real_ratio));
}

TEST(MeasureSamples, agree_on_every_world_size) {
  World one;
  const auto expected = one.measure(as_floats(one.fresh));
  for (const int world : {1, 2, 3, 4}) {
    comm::run_ranks(world, [&](comm::Comm& comm) {
      // Uneven parts, in an order of their own: rank 0 holds every image the others do not.
      auto part = one.train.slice(0, 0, 1600 - 100 * (world - 1));
      if (comm.rank() > 0) {
        part = one.train.slice(0, 1600 - 100 * comm.rank(), 1700 - 100 * comm.rank());
      }
      const RealReference reference(part, one.held_out, comm);
      const auto mine = rows_of_rank(200, comm.rank(), world);
      const auto fakes =
          gather_rows(as_floats(one.fresh).slice(0, mine.begin, mine.end), 200, comm);

      const auto found = measure_samples(reference, fakes, comm);

      EXPECT_TRUE(torch::equal(reference.mean_image(), one.reference.mean_image()));
      EXPECT_NEAR(reference.mean_image_psnr(), one.reference.mean_image_psnr(), 1e-6);
      EXPECT_NEAR(found.pairwise_ratio, expected.pairwise_ratio, 1e-6);
      EXPECT_NEAR(found.nn_fake_to_real_ratio, expected.nn_fake_to_real_ratio, 1e-6);
      EXPECT_NEAR(found.nn_real_to_fake_ratio, expected.nn_real_to_fake_ratio, 1e-6);
      EXPECT_NEAR(found.feature_std_ratio, expected.feature_std_ratio, 1e-6);
      EXPECT_DOUBLE_EQ(found.duplicate_share, expected.duplicate_share);
      EXPECT_EQ(found.train_images, 1600);
    });
  }
}

TEST(RealReference, needs_two_held_out_images_and_a_training_image) {
  comm::SelfComm comm;
  const auto images = smooth_images(4, kSize, 5);

  EXPECT_THROW(RealReference(images, images.slice(0, 0, 1), comm), DataError);
  EXPECT_THROW(RealReference(images.slice(0, 0, 0), images, comm), DataError);
  EXPECT_NO_THROW(RealReference(images.slice(0, 0, 1), images.slice(0, 0, 2), comm));
}

TEST(RealReference, mean_image_is_the_mean) {
  World world;

  const auto expected = flat_pixels(world.train).to(torch::kFloat64).mean(0);

  EXPECT_TRUE(torch::allclose(world.reference.mean_image().to(torch::kFloat64), expected, 0, 1e-6));
}

TEST(FeatureStdRatio, is_the_ratio_of_mean_deviations) {
  const auto real = seeded_normal({400, 3, 2}, 6);
  auto fake = real * 0.25 + 5.0;
  fake.select(2, 1) = 7.0;  // half of the features are dead

  EXPECT_NEAR(feature_std_ratio(fake, real),
              0.25 * real.select(2, 0).std(0).mean().item<double>() /
                  (2.0 * real.std(0).mean().item<double>()),
              1e-5);
  EXPECT_NEAR(feature_std_ratio(real.to(torch::kFloat64), real), 1.0, 1e-6);
  EXPECT_TRUE(std::isnan(feature_std_ratio(real, torch::ones_like(real))));
}

TEST(Pixels, both_kinds_of_images_mean_the_same) {
  const auto bytes = smooth_images(5, kSize, 7);

  EXPECT_TRUE(torch::allclose(flat_pixels(as_floats(bytes)), flat_pixels(bytes), 0, 1e-6));
  EXPECT_TRUE(torch::equal(to_bytes(as_floats(bytes)), bytes));
  EXPECT_TRUE(torch::equal(to_bytes(bytes), bytes));
}

TEST(Pixels, the_callers_images_stay_as_they_are) {
  const auto images = torch::full({1, 1, kSize, kSize}, 2.0F);

  const auto flat = flat_pixels(images);

  EXPECT_EQ(flat.max().item<float>(), 1.0F);
  EXPECT_EQ(images.min().item<float>(), 2.0F);
}

TEST(SpreadPositions, cover_the_range_evenly) {
  EXPECT_TRUE(torch::equal(spread_positions(10, 4), torch::tensor({0, 2, 5, 7}, torch::kInt64)));
  EXPECT_TRUE(torch::equal(spread_positions(3, 8), torch::arange(3, torch::kInt64)));
  EXPECT_EQ(spread_positions(0, 8).numel(), 0);
}

TEST(RowsOfRank, cover_all_rows_once) {
  for (const std::int64_t count : {0, 1, 5, 8, 1000}) {
    for (const int world : {1, 2, 3, 4, 7}) {
      std::int64_t next = 0;
      for (int rank = 0; rank < world; ++rank) {
        const auto rows = rows_of_rank(count, rank, world);
        EXPECT_EQ(rows.begin, next);
        EXPECT_GE(rows.end, rows.begin);
        next = rows.end;
      }
      EXPECT_EQ(next, count);
    }
  }
}

TEST(GatherRows, gives_every_rank_all_rows_in_order) {
  for (const int world : {1, 2, 3, 4}) {
    comm::run_ranks(world, [&](comm::Comm& comm) {
      const auto all = torch::arange(10, torch::kFloat32).reshape({5, 2});
      const auto mine = rows_of_rank(5, comm.rank(), world);

      const auto found = gather_rows(all.slice(0, mine.begin, mine.end), 5, comm);

      EXPECT_TRUE(torch::equal(found, all));
    });
  }
}

}  // namespace
}  // namespace atelier::quality
