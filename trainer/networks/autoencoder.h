// Encoder and decoder that AE and VAE share, with SiLU (Elfwing et al. 2017): the halvings down to
// the base, one linear layer to the latent, and the mirror of it back up. Thread safety: as Net.
#pragma once

#include "trainer/networks/sampling.h"

namespace atelier::networks {

/// Shapes: [N, C, H, W] in [-1, 1] → [N, outputs].
class Encoder final : public HalvingNet {
 public:
  Encoder(const Geometry& geometry, std::int64_t width, std::int64_t outputs,
          const Style& style = {});
  [[nodiscard]] at::Tensor forward(const at::Tensor& x_NCHW) override;

 private:
  torch::nn::Linear to_latent_{nullptr};
};

/// Shapes: [N, Z] → [N, C, H, W]; the output is not clipped.
class Decoder final : public DoublingNet {
 public:
  Decoder(const Geometry& geometry, std::int64_t width, std::int64_t latent,
          const Style& style = {});
};

}  // namespace atelier::networks
