// What the networks themselves tell: how well a discriminator separates real from generated images
// and how much of a latent space an encoder uses. Inputs are plain tensors on the CPU.
// Thread safety: pure functions; an accumulator has one user.
#pragma once

#include <cstdint>

#include <torch/torch.h>

#include "launch/comm/comm.h"

namespace atelier::quality {

/// Share of images a discriminator D judges rightly; 0.5 is a coin, 1 is a discriminator that wins.
/// A relativistic D learns differences only, so its logits have no zero: "real" means above the
/// midpoint between its mean logit on real and on generated images.
struct DiscriminatorAccuracy {
  double real = 0.0;       ///< share of held-out real images above the threshold
  double fake = 0.0;       ///< share of generated images below it
  double pairs = 0.0;      ///< share of pairs with D(x_i) > D(G(z_i)); ties count one half
  double threshold = 0.0;  ///< midpoint of the two means
  double gap = 0.0;        ///< mean logit on real minus mean logit on generated images
  std::int64_t images = 0;
};

/// Logits of held-out real and of generated images, paired by position; gather them first
/// (gather_rows) where ranks share the work. NaN logits give NaN throughout.
/// Shapes: [N] or [N,1], equal N >= 1, any floating type.
[[nodiscard]] DiscriminatorAccuracy discriminator_accuracy(const torch::Tensor& real_logits,
                                                           const torch::Tensor& fake_logits);

/// What a VAE's encoder makes of images.
struct LatentIndicators {
  torch::Tensor kl_per_dim;  ///< [Z] float64: mean over images of KL(q(z_d|x) || N(0,1)). Nats.
  double kl = 0.0;           ///< its sum. Units: nats per image.
  std::int64_t active = 0;   ///< dimensions with variance over images of mu_d above 0.01
  std::int64_t dimensions = 0;
  std::int64_t images = 0;
};

/// Gathers LatentIndicators over batches and ranks. Active units: Burda, Grosse and Salakhutdinov
/// 2016, "Importance weighted autoencoders", section 5.2.
class LatentStatistics {
 public:
  static constexpr double kActiveVariance = 0.01;

  explicit LatentStatistics(std::int64_t dimensions);
  /// Shapes: mu, logvar [N,Z], any floating type, N >= 0.
  void add(const torch::Tensor& mu, const torch::Tensor& logvar);
  /// Replaces the sums by those of all ranks; once, after the last `add`. Collective: all ranks.
  void reduce(comm::Comm& comm);
  /// Of everything added. With no image all values are 0.
  [[nodiscard]] LatentIndicators result() const;

 private:
  torch::Tensor sums_;  ///< [4,Z] float64: mu, mu², KL, number of images
};

/// The same for one batch on one rank.
[[nodiscard]] LatentIndicators measure_latents(const torch::Tensor& mu,
                                               const torch::Tensor& logvar);

}  // namespace atelier::quality
