// How far generated images are from real ones, in pixels, as ratios to what held-out real images of
// equal number give: 1 is as good as real data, whatever the data set. Few, cheap numbers that find
// noise, copies and collapse; they do not rank good pictures (README.md).
// The training images are shared out among the ranks, the held-out and generated ones are on all.
// Sums are integer or double, minima exact: world sizes agree to round-off.
// Thread safety: a RealReference is immutable once built.
#pragma once

#include <cstdint>

#include <torch/torch.h>

#include "launch/comm/comm.h"

namespace atelier::quality {

/// One set of images against the training images. Units: distances are Euclidean, on the [-1,1]
/// scale, over all pixels and channels.
struct SampleDistances {
  double pairwise = 0.0;       ///< mean over pairs of different images of the set
  double nn_to_train = 0.0;    ///< mean over the set of the distance to the nearest training image
  double nn_from_train = 0.0;  ///< mean over training images of the distance to the nearest of set
  double feature_std = 0.0;    ///< mean over pixels of the standard deviation over the set
  double duplicate_share = 0.0;  ///< share of images with another within the duplicate radius
};

/// What real images give, measured once per run: the denominators of SampleIndicators.
class RealReference {
 public:
  static constexpr std::int64_t kTrainImages = 8000;
  static constexpr std::int64_t kHeldOutImages = 1000;
  static constexpr double kDuplicateQuantile = 0.05;

  /// Measures `held_out` (the same on every rank, >= 2 images) against `train_part` (this rank's
  /// part of the training images; parts may differ in size, one may be empty).
  /// Shapes: uint8 [N,H,W,C]. Cost: 2·N_train·N_held_out·H·W·C operations, shared out among ranks.
  /// Throws: DataError when there are too few images. Collective: all ranks.
  RealReference(torch::Tensor train_part, const torch::Tensor& held_out, comm::Comm& comm);

  /// How many samples `measure_samples` wants: as many as there are held-out images.
  [[nodiscard]] std::int64_t samples() const { return samples_; }
  [[nodiscard]] std::int64_t train_images() const { return train_images_; }
  [[nodiscard]] const SampleDistances& held_out() const { return held_out_; }
  /// Two images within this distance count as duplicates: the 5 % quantile of the distances between
  /// a held-out image and the nearest other one, so that real data scores 0.05.
  [[nodiscard]] double duplicate_radius() const { return duplicate_radius_; }
  /// Mean training image. Shapes: [H*W*C] float32 in [-1,1].
  [[nodiscard]] const torch::Tensor& mean_image() const { return mean_image_; }
  /// PSNR of the mean image as a reconstruction of the held-out images. Units: dB.
  [[nodiscard]] double mean_image_psnr() const { return mean_image_psnr_; }
  /// This rank's training images, as given.
  [[nodiscard]] const torch::Tensor& train_part() const { return train_part_; }

  /// Measures a set of `samples()` images, given as flat pixels on every rank. Collective: all
  /// ranks.
  [[nodiscard]] SampleDistances measure(const torch::Tensor& pixels, comm::Comm& comm) const;

 private:
  torch::Tensor train_part_;
  torch::Tensor mean_image_;
  std::int64_t samples_ = 0;
  std::int64_t train_images_ = 0;
  double duplicate_radius_ = 0.0;
  double mean_image_psnr_ = 0.0;
  SampleDistances held_out_;
};

/// Each `_ratio` is the samples' value divided by the held-out images' value. NaN: undefined, since
/// a sample holds NaN or infinity, or since the held-out value is 0.
struct SampleIndicators {
  double pairwise_ratio = 0.0;         ///< below 1: samples resemble each other
  double nn_fake_to_real_ratio = 0.0;  ///< above 1: samples unlike any image; far below: copies
  double nn_real_to_fake_ratio = 0.0;  ///< above 1: parts of the data that no sample resembles
  double feature_std_ratio = 0.0;      ///< below 1: pixels vary too little between samples
  double duplicate_share = 0.0;        ///< 0.05 is what held-out images give
  std::int64_t samples = 0;            ///< generated, and as many held-out, images compared
  std::int64_t train_images = 0;       ///< over all ranks
  std::int64_t non_finite = 0;         ///< samples that hold NaN or infinity
};

/// Shapes: fakes as pixels.h, the reference's size, at least `reference.samples()` of them and the
/// same on every rank (gather_rows); those beyond are left out, so that counts are equal.
/// Collective: all ranks.
[[nodiscard]] SampleIndicators measure_samples(const RealReference& reference,
                                               const torch::Tensor& fakes, comm::Comm& comm);

/// Mean over dimensions of the standard deviation: the collapse statistic on any features, e.g. a
/// discriminator's last but one layer. Samples are judged by the ratio of their mean to that of
/// real images (feature_std_ratio), so that a constant dimension does no harm. Shapes: [N,...]
/// floating, N >= 2.
[[nodiscard]] double mean_feature_std(const torch::Tensor& features);

/// NaN where `real` does not vary at all. Shapes: [N,...] and [M,...]; other dimensions equal.
[[nodiscard]] double feature_std_ratio(const torch::Tensor& fake, const torch::Tensor& real);

}  // namespace atelier::quality
