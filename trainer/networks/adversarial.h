// Generator and discriminator of the small GAN: 4×4 strided convolutions with LeakyReLU 0.2, no
// normalisation, no tanh, linear logits (the choices of Huang et al., "The GAN is dead; long live
// the GAN!", 2024, in a small convolutional net). Thread safety: as Net.
#pragma once

#include "trainer/networks/geometry.h"
#include "trainer/networks/net.h"

namespace atelier::networks {

/// Shapes: [N, Z] → [N, C, H, W]; the output is not clipped.
class Generator final : public Net {
 public:
  Generator(const Geometry& geometry, std::int64_t width, std::int64_t latent);
  [[nodiscard]] at::Tensor forward(const at::Tensor& z_NZ) override;

 private:
  std::int64_t base_channels_, base_height_, base_width_;
  torch::nn::Linear from_latent_{nullptr};
  torch::nn::ModuleList convolutions_;
};

/// Shapes: [N, C, H, W] → logits [N].
class Discriminator final : public Net {
 public:
  Discriminator(const Geometry& geometry, std::int64_t width);
  [[nodiscard]] at::Tensor forward(const at::Tensor& x_NCHW) override;
  /// Penultimate activations. Shapes: [N, C, H, W] → [N, F].
  [[nodiscard]] at::Tensor features(const at::Tensor& x_NCHW);
  /// Shapes: [N, F] → [N].
  [[nodiscard]] at::Tensor logits(const at::Tensor& features_NF);

 private:
  torch::nn::ModuleList convolutions_;
  torch::nn::Linear to_logit_{nullptr};
};

}  // namespace atelier::networks
