// How well images are given back: pooled mean squared error over all values of all images, both
// sides clipped to [-1,1], as PSNR with peak 2; beside it two baselines that need no network: the
// mean training image and principal components (PCA) with as many dimensions as the latent.
// Thread safety: pure functions; an accumulator has one user.
#pragma once

#include <cstdint>

#include <torch/torch.h>

#include "launch/comm/comm.h"

namespace atelier::quality {

/// Pooled squared error over batches and ranks.
class Reconstruction {
 public:
  /// Shapes: both as pixels.h, equal number and size.
  void add(const torch::Tensor& images, const torch::Tensor& reconstructions);
  /// Every image reconstructed as the same one. Shapes: [H*W*C], as of MeanImage.
  void add_constant(const torch::Tensor& images, const torch::Tensor& pixels);
  /// Replaces the sums by those of all ranks; once, after the last `add`. Collective: all ranks.
  void reduce(comm::Comm& comm);
  [[nodiscard]] std::int64_t images() const { return static_cast<std::int64_t>(images_); }
  /// Mean squared error on the [-1,1] scale. Requires: at least one image.
  [[nodiscard]] double mean_squared_error() const;
  /// 10 log10(4 / mse). Units: dB; +infinity for no error. Requires: at least one image.
  [[nodiscard]] double psnr() const;
  /// What the network adds to showing the mean image each time. Units: dB.
  [[nodiscard]] double gain_over(double baseline_psnr) const { return psnr() - baseline_psnr; }

 private:
  void add_pixels(const torch::Tensor& expected, const torch::Tensor& found);

  double squared_error_ = 0.0;
  double values_ = 0.0;
  double images_ = 0.0;
};

/// The mean of many images, a batch at a time. As a reconstruction of every image it is the bar for
/// any decoder: one that stays near it is dead.
class MeanImage {
 public:
  /// Shapes: as pixels.h.
  void add(const torch::Tensor& images);
  /// Shapes: → [H*W*C] float32 in [-1,1]. Requires: at least one image.
  [[nodiscard]] torch::Tensor value() const;

 private:
  torch::Tensor sum_;
  double images_ = 0.0;
};

/// PSNR on `test` of its projection, clipped, on the first `dims` principal components of `train`:
/// the best linear autoencoder of that latent size, hence the bar for a trained one. The components
/// come from block power iteration with Rayleigh-Ritz, in passes over tiles of the images (Halko,
/// Martinsson and Tropp 2011, algorithm 4.4), until the variance they hold is settled to 1e-6.
/// Shapes: as pixels.h, on one rank; 0 <= dims. Units: dB. Cost: about 4·N·H·W·C·(dims + 32)
/// operations a pass, some 10 passes; memory: tiles and 2·H·W·C·(dims + 32) doubles.
[[nodiscard]] double pca_psnr(const torch::Tensor& train, const torch::Tensor& test,
                              std::int64_t dims);

}  // namespace atelier::quality
