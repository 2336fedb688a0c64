// Encoder and decoder that AE and VAE share: strided 4×4 convolutions with SiLU (Elfwing et al.
// 2017) down to the base, one linear layer to the latent, and the mirror of it back up.
// Thread safety: as Net.
#pragma once

#include "trainer/networks/geometry.h"
#include "trainer/networks/net.h"

namespace atelier::networks {

/// Shapes: [N, C, H, W] in [-1, 1] → [N, outputs].
class Encoder final : public Net {
 public:
  Encoder(const Geometry& geometry, std::int64_t width, std::int64_t outputs);
  [[nodiscard]] at::Tensor forward(const at::Tensor& x_NCHW) override;

 private:
  torch::nn::ModuleList convolutions_;
  torch::nn::Linear to_latent_{nullptr};
};

/// Shapes: [N, Z] → [N, C, H, W]; the output is not clipped.
class Decoder final : public Net {
 public:
  Decoder(const Geometry& geometry, std::int64_t width, std::int64_t latent);
  [[nodiscard]] at::Tensor forward(const at::Tensor& z_NZ) override;

 private:
  std::int64_t base_channels_, base_height_, base_width_;
  torch::nn::Linear from_latent_{nullptr};
  torch::nn::ModuleList convolutions_;
};

}  // namespace atelier::networks
