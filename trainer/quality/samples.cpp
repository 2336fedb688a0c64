#include "trainer/quality/samples.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "trainer/quality/distances.h"
#include "trainer/quality/pixels.h"
#include "trainer/quality/sharing.h"

namespace atelier::quality {
namespace {

constexpr std::int64_t kBlockImages = 512;  // training images held as floats at a time

void check_bytes(const torch::Tensor& images) {
  ATELIER_CHECK(images.dim() == 4 && images.scalar_type() == torch::kUInt8,
                "real images are uint8 [N,H,W,C]");
}

double mean_of(const torch::Tensor& values) { return values.mean(torch::kFloat64).item<double>(); }

double ratio(double value, double real) {
  return real > 0.0 ? value / real : std::numeric_limits<double>::quiet_NaN();
}

// Integer sums, so that the mean does not depend on how the images are shared out.
torch::Tensor mean_of_bytes(const torch::Tensor& part, std::int64_t total, comm::Comm& comm) {
  const auto pixels = part.size(1) * part.size(2) * part.size(3);
  auto sum = torch::zeros({pixels}, torch::kInt64);
  for (std::int64_t i = 0; i < part.size(0); i += kBlockImages) {
    sum += part.slice(0, i, i + kBlockImages).reshape({-1, pixels}).sum(0, false, torch::kInt64);
  }
  sum_over_ranks(sum, comm, "mean training image");
  const auto mean = sum.to(torch::kFloat64) / static_cast<double>(total);
  return (mean / 127.5 - 1.0).to(torch::kFloat32);
}

// The distances of this rank's part of a set to the rest of it.
PairwisePart pairs_of_rank(const torch::Tensor& pixels, comm::Comm& comm) {
  return pairwise_distances(pixels, rows_of_rank(pixels.size(0), comm.rank(), comm.world()));
}

std::int64_t images_within(const torch::Tensor& nearest, double radius) {
  return (nearest <= radius).sum().item<std::int64_t>();
}

}  // namespace

RealReference::RealReference(torch::Tensor train_part, const torch::Tensor& held_out,
                             comm::Comm& comm)
    : train_part_(std::move(train_part)), samples_(held_out.size(0)) {
  check_bytes(train_part_);
  check_bytes(held_out);
  ATELIER_CHECK(train_part_.sizes().slice(1) == held_out.sizes().slice(1),
                "training and held-out images are of one size");
  std::array<double, 1> images{static_cast<double>(train_part_.size(0))};
  sum_over_ranks(images, comm, "number of training images");
  train_images_ = static_cast<std::int64_t>(images[0]);
  if (samples_ < 2 || train_images_ < 1) {
    throw DataError(text("Indicators compare samples with real images: found ", train_images_,
                         " training and ", samples_, " held-out images, need 1 and 2."),
                    "Import more images, or a validation split.");
  }
  mean_image_ = mean_of_bytes(train_part_, train_images_, comm);
  const auto pixels = flat_pixels(held_out);
  mean_image_psnr_ = psnr_db(mean_of((pixels - mean_image_).square_()));
  const auto nearest = gather_rows(pairs_of_rank(pixels, comm).nearest, samples_, comm);
  const auto at = static_cast<std::int64_t>(kDuplicateQuantile * static_cast<double>(samples_));
  duplicate_radius_ = std::get<0>(nearest.sort())[at].item<double>();
  held_out_ = measure(pixels, comm);
}

SampleDistances RealReference::measure(const torch::Tensor& pixels, comm::Comm& comm) const {
  ATELIER_CHECK(pixels.size(0) == samples_, "as many samples as held-out images");
  const auto pairs = pairs_of_rank(pixels, comm);
  NearestSearch search(pixels, mean_image_);
  double from_train = 0.0;
  for (std::int64_t i = 0; i < train_part_.size(0); i += kBlockImages) {
    const auto block = flat_pixels(train_part_.slice(0, i, i + kBlockImages));
    from_train += search.add(block).sum(torch::kFloat64).item<double>();
  }
  auto to_train = search.a_to_b();
  min_over_ranks(to_train, comm, "distance to the nearest training image");
  std::array<double, 3> sums{pairs.sum, from_train,
                             static_cast<double>(images_within(pairs.nearest, duplicate_radius_))};
  sum_over_ranks(sums, comm, "distances between samples");
  const auto n = static_cast<double>(samples_);
  return {.pairwise = sums[0] / (n * (n - 1.0)),
          .nn_to_train = mean_of(to_train),
          .nn_from_train = sums[1] / static_cast<double>(train_images_),
          .feature_std = mean_feature_std(pixels),
          .duplicate_share = sums[2] / n};
}

SampleIndicators measure_samples(const RealReference& reference, const torch::Tensor& fakes,
                                 comm::Comm& comm) {
  const auto n = reference.samples();
  ATELIER_CHECK(fakes.size(0) >= n, text("need ", n, " samples, found ", fakes.size(0)));
  const auto pixels = flat_pixels(fakes.slice(0, 0, n));
  ATELIER_CHECK(pixels.size(1) == reference.mean_image().size(0),
                "samples have the reference's size");
  // Infinity is clipped away with the pixels: count on what the network gave.
  const auto finite = torch::isfinite(fakes.slice(0, 0, n)).flatten(1).all(1);
  const auto non_finite = n - finite.sum().item<std::int64_t>();
  const auto& real = reference.held_out();
  // Measured even when the answer will be NaN: every rank must enter the same collectives.
  auto fake = reference.measure(pixels, comm);
  if (non_finite > 0) {
    constexpr auto kUndefined = std::numeric_limits<double>::quiet_NaN();
    fake = {kUndefined, kUndefined, kUndefined, kUndefined, kUndefined};
  }
  return {.pairwise_ratio = ratio(fake.pairwise, real.pairwise),
          .nn_fake_to_real_ratio = ratio(fake.nn_to_train, real.nn_to_train),
          .nn_real_to_fake_ratio = ratio(fake.nn_from_train, real.nn_from_train),
          .feature_std_ratio = ratio(fake.feature_std, real.feature_std),
          .duplicate_share = fake.duplicate_share,
          .samples = n,
          .train_images = reference.train_images(),
          .non_finite = non_finite};
}

double mean_feature_std(const torch::Tensor& features) {
  ATELIER_CHECK(features.size(0) >= 2, "a deviation needs two rows");
  return mean_of(features.to(torch::kFloat32).flatten(1).std(0, /*unbiased=*/true));
}

double feature_std_ratio(const torch::Tensor& fake, const torch::Tensor& real) {
  ATELIER_CHECK(fake.sizes().slice(1) == real.sizes().slice(1), "features of one shape");
  return ratio(mean_feature_std(fake), mean_feature_std(real));
}

}  // namespace atelier::quality
