// Discriminator accuracy, latent statistics and reconstruction quality against plain loops.
#include "trainer/quality/indicators.h"

#include <cmath>

#include <gtest/gtest.h>

#include "launch/base/error.h"
#include "launch/comm/thread_comm.h"
#include "tests/unit/quality/oracles.h"
#include "trainer/quality/pixels.h"
#include "trainer/quality/reconstruction.h"

namespace atelier::quality {
namespace {

TEST(DiscriminatorAccuracy, counts_against_the_midpoint_and_by_pairs) {
  const auto real = torch::tensor({{5.0F}, {7.0F}, {9.0F}, {1.0F}});  // mean 5.5
  const auto fake = torch::tensor({{4.0F}, {7.0F}, {3.0F}, {2.0F}});  // mean 4, midpoint 4.75

  const auto found = discriminator_accuracy(real, fake);

  EXPECT_DOUBLE_EQ(found.threshold, 4.75);
  EXPECT_DOUBLE_EQ(found.gap, 1.5);
  EXPECT_DOUBLE_EQ(found.real, 0.75);
  EXPECT_DOUBLE_EQ(found.fake, 0.75);
  EXPECT_DOUBLE_EQ(found.pairs, (2.0 + 0.5) / 4.0);
  EXPECT_EQ(found.images, 4);
}

TEST(DiscriminatorAccuracy, does_not_depend_on_the_zero_of_the_logits) {
  const auto real = seeded_normal({500}, 1) + 1.0;
  const auto fake = seeded_normal({500}, 2);

  const auto found = discriminator_accuracy(real, fake);
  const auto shifted = discriminator_accuracy(real - 40.0, fake - 40.0);

  EXPECT_NEAR(shifted.real, found.real, 0.003);
  EXPECT_NEAR(shifted.fake, found.fake, 0.003);
  EXPECT_NEAR(found.real, 0.69, 0.06);   // normal at half a deviation
  EXPECT_NEAR(found.pairs, 0.76, 0.06);  // normal at 1 / sqrt 2
}

TEST(DiscriminatorAccuracy, of_one_cloud_is_a_coin) {
  const auto found = discriminator_accuracy(seeded_normal({4000}, 3), seeded_normal({4000}, 4));

  EXPECT_NEAR(found.real, 0.5, 0.03);
  EXPECT_NEAR(found.fake, 0.5, 0.03);
  EXPECT_NEAR(found.pairs, 0.5, 0.03);
}

TEST(DiscriminatorAccuracy, of_nan_is_nan) {
  const auto found = discriminator_accuracy(torch::tensor({1.0F, NAN}), torch::zeros({2}));

  EXPECT_TRUE(std::isnan(found.real));
  EXPECT_TRUE(std::isnan(found.fake));
  EXPECT_TRUE(std::isnan(found.pairs));
}

TEST(DiscriminatorAccuracy, of_unequal_numbers_is_refused) {
  EXPECT_THROW((void)discriminator_accuracy(torch::zeros({2}), torch::zeros({3})), InternalError);
  EXPECT_THROW((void)discriminator_accuracy(torch::zeros({0}), torch::zeros({0})), InternalError);
}

// KL(N(mu, sigma²) || N(0, 1)) by integrating p log(p / q).
double integrated_kl(double mu, double sigma) {
  double sum = 0.0;
  const double step = sigma / 200.0;
  for (int i = -2000; i <= 2000; ++i) {
    const double x = mu + i * step;
    const double log_p = -0.5 * std::pow((x - mu) / sigma, 2) - std::log(sigma);
    const double log_q = -0.5 * x * x;
    sum += std::exp(log_p) / std::sqrt(2.0 * M_PI) * (log_p - log_q) * step;
  }
  return sum;
}

TEST(MeasureLatents, kl_equals_the_integral) {
  const auto mu = torch::tensor({{0.5F, -2.0F, 0.0F}});
  const auto sigma = torch::tensor({{0.3F, 1.5F, 1.0F}});

  const auto found = measure_latents(mu, 2.0 * sigma.log());

  EXPECT_NEAR(found.kl_per_dim[0].item<double>(), integrated_kl(0.5, 0.3), 1e-4);
  EXPECT_NEAR(found.kl_per_dim[1].item<double>(), integrated_kl(-2.0, 1.5), 1e-4);
  EXPECT_NEAR(found.kl_per_dim[2].item<double>(), 0.0, 1e-6);
  EXPECT_NEAR(found.kl, integrated_kl(0.5, 0.3) + integrated_kl(-2.0, 1.5), 2e-4);
}

TEST(MeasureLatents, dimensions_whose_mean_varies_are_active) {
  auto mu = seeded_normal({2000, 4}, 5);
  mu.select(1, 1) *= 0.05;  // variance 0.0025: dead
  mu.select(1, 2) = 30.0;   // far away but constant: dead
  mu.select(1, 3) *= 0.15;  // variance 0.0225: active

  const auto found = measure_latents(mu, torch::zeros_like(mu));

  EXPECT_EQ(found.active, 2);
  EXPECT_EQ(found.dimensions, 4);
  EXPECT_EQ(found.images, 2000);
}

TEST(LatentStatistics, agree_over_batches_and_ranks) {
  const auto mu = seeded_normal({90, 5}, 6) * torch::tensor({1.0F, 0.2F, 0.01F, 0.5F, 0.11F});
  const auto logvar = seeded_normal({90, 5}, 7);
  const auto expected = measure_latents(mu, logvar);
  for (const int world : {1, 2, 3, 4}) {
    comm::run_ranks(world, [&](comm::Comm& comm) {
      LatentStatistics statistics(5);
      for (std::int64_t i = comm.rank(); i < 9; i += world) {
        statistics.add(mu.slice(0, 10 * i, 10 * i + 10), logvar.slice(0, 10 * i, 10 * i + 10));
      }
      statistics.reduce(comm);

      const auto found = statistics.result();

      EXPECT_TRUE(torch::allclose(found.kl_per_dim, expected.kl_per_dim, 1e-9));
      EXPECT_NEAR(found.kl, expected.kl, 1e-9 * expected.kl);
      EXPECT_EQ(found.active, expected.active);
      EXPECT_EQ(found.images, 90);
    });
  }
}

TEST(LatentStatistics, of_nothing_are_zero) {
  const auto found = LatentStatistics(3).result();

  EXPECT_EQ(found.active, 0);
  EXPECT_EQ(found.kl, 0.0);
  EXPECT_EQ(found.images, 0);
}

// A batch with values outside [-1,1], which count as the picture shows them.
torch::Tensor wild_batch(std::int64_t count, std::int64_t seed) {
  return seeded_normal({count, 3, 8, 8}, seed);
}

TEST(Reconstruction, psnr_equals_a_loop_over_clipped_values) {
  const auto images = wild_batch(6, 8);
  const auto found = wild_batch(6, 9);
  const auto a = images.flatten();
  const auto b = found.flatten();
  double sum = 0.0;
  for (std::int64_t i = 0; i < a.numel(); ++i) {
    const double difference =
        std::clamp(a[i].item<double>(), -1.0, 1.0) - std::clamp(b[i].item<double>(), -1.0, 1.0);
    sum += difference * difference;
  }
  const double mse = sum / static_cast<double>(a.numel());

  Reconstruction reconstruction;
  reconstruction.add(images, found);

  EXPECT_NEAR(reconstruction.mean_squared_error(), mse, 1e-6);
  EXPECT_NEAR(reconstruction.psnr(), 10.0 * std::log10(4.0 / mse), 1e-5);
  EXPECT_NEAR(reconstruction.gain_over(3.0), 10.0 * std::log10(4.0 / mse) - 3.0, 1e-5);
}

TEST(Reconstruction, pools_over_ragged_batches_and_ranks) {
  const auto images = wild_batch(25, 10);
  const auto found = wild_batch(25, 11);
  Reconstruction whole;
  whole.add(images, found);
  for (const int world : {1, 2, 3, 4}) {
    comm::run_ranks(world, [&](comm::Comm& comm) {
      Reconstruction part;
      for (std::int64_t i = comm.rank(); i < 4; i += world) {  // batches of 7, 7, 7 and 4
        part.add(images.slice(0, 7 * i, 7 * i + 7), found.slice(0, 7 * i, 7 * i + 7));
      }
      part.reduce(comm);

      EXPECT_EQ(part.images(), 25);
      EXPECT_NEAR(part.psnr(), whole.psnr(), 1e-6);
    });
  }
}

TEST(Reconstruction, of_equal_images_is_infinite_and_of_none_refused) {
  Reconstruction reconstruction;
  EXPECT_THROW((void)reconstruction.psnr(), InternalError);

  reconstruction.add(wild_batch(2, 12), wild_batch(2, 12));

  EXPECT_EQ(reconstruction.psnr(), INFINITY);
}

// The same by a full eigendecomposition in double precision.
double oracle_pca_psnr(const torch::Tensor& train, const torch::Tensor& test, std::int64_t dims) {
  const auto x = flat_pixels(train).to(torch::kFloat64);
  const auto y = flat_pixels(test).to(torch::kFloat64);
  const auto mean = x.mean(0);
  const auto centred = x - mean;
  const auto vectors = std::get<1>(torch::linalg_eigh(torch::mm(centred.t(), centred)));
  const auto kept = vectors.slice(1, vectors.size(1) - dims);
  const auto found = (torch::mm(torch::mm(y - mean, kept), kept.t()) + mean).clamp(-1, 1);
  return 10.0 * std::log10(4.0 / (y - found).square().mean().item<double>());
}

TEST(PcaPsnr, equals_a_full_eigendecomposition) {
  // Smooth images and noise: a spectrum that falls, then a plain.
  const auto noisy = [](std::int64_t count, std::int64_t seed) {
    const auto images = smooth_images(count, 12, seed).to(torch::kFloat32);
    const auto noise = seeded_normal(images.sizes(), seed + 100) * 12.0;
    return (images + noise).clamp(0, 255).to(torch::kUInt8);
  };
  const auto train = noisy(1500, 13);
  const auto test = noisy(300, 14);
  for (const std::int64_t dims : {1, 6, 18, 60}) {
    EXPECT_NEAR(pca_psnr(train, test, dims), oracle_pca_psnr(train, test, dims), 0.01) << dims;
  }
}

TEST(PcaPsnr, of_as_many_dimensions_as_pixels_has_no_error_to_speak_of) {
  const auto train = seeded_normal({300, 1, 6, 6}, 15) * 0.2;

  EXPECT_GT(pca_psnr(train, train, 36), 100.0);
  EXPECT_GT(pca_psnr(train, train, 500), 100.0);
}

TEST(PcaPsnr, of_images_that_do_not_vary_ends) {
  const auto flat = torch::full({20, 8, 8, 1}, 90, torch::kUInt8);

  EXPECT_GT(pca_psnr(flat, flat, 4), 100.0);
}

TEST(MeanImagePsnr, is_the_psnr_of_showing_the_mean) {
  const auto train = smooth_images(300, 8, 16);
  const auto test = smooth_images(50, 8, 17);
  const auto mean = flat_pixels(train).mean(0).reshape({1, 8, 8, 3}).permute({0, 3, 1, 2});
  Reconstruction reconstruction;
  reconstruction.add(test, mean.expand({50, 3, 8, 8}));

  EXPECT_NEAR(pca_psnr(train, test, 0), reconstruction.psnr(), 1e-5);
}

}  // namespace
}  // namespace atelier::quality
