// Generator and discriminator. Plain: LeakyReLU 0.2, no tanh, linear logits (the choices of Huang
// et al., "The GAN is dead; long live the GAN!", 2024, in a small convolutional net). DCGAN with
// batch normalisation, width 64 and 100 latents at 64×64: the nets of Radford, Metz, Chintala 2016
// as PyTorch's example builds them. Thread safety: as Net.
#pragma once

#include "trainer/networks/sampling.h"
#include "trainer/networks/spectral_norm.h"

namespace atelier::networks {

/// Shapes: [N, Z] → [N, C, H, W]; the plain output is not clipped.
class Generator final : public DoublingNet {
 public:
  Generator(const Geometry& geometry, std::int64_t width, std::int64_t latent,
            const Style& style = {});
  [[nodiscard]] at::Tensor forward(const at::Tensor& z_NZ) override;
  [[nodiscard]] InitialWeights initial_weights() const override;

 private:
  Architecture architecture_;
};

/// Shapes: [N, C, H, W] → logits [N].
class Discriminator final : public HalvingNet {
 public:
  Discriminator(const Geometry& geometry, std::int64_t width, const Style& style = {});
  [[nodiscard]] at::Tensor forward(const at::Tensor& x_NCHW) override;
  /// Penultimate activations. Shapes: [N, C, H, W] → [N, F].
  [[nodiscard]] at::Tensor features(const at::Tensor& x_NCHW);
  /// Shapes: [N, F] → [N].
  [[nodiscard]] at::Tensor logits(const at::Tensor& features_NF);
  [[nodiscard]] InitialWeights initial_weights() const override;

 private:
  Architecture architecture_;
  torch::nn::Linear to_logit_{nullptr};
  std::shared_ptr<SpectralNorm> logit_norm_;
};

}  // namespace atelier::networks
