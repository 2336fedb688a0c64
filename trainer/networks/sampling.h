// The two halves that every convolutional net here is made of: 4×4 stride-2 convolutions that halve
// an image down to its base, and their mirror (kernel a multiple of the stride: no checkerboard;
// Odena, Dumoulin, Olah 2016). Thread safety: as Net.
#pragma once

#include <cstdint>

#include <torch/torch.h>

#include "trainer/networks/geometry.h"
#include "trainer/networks/net.h"
#include "trainer/networks/style.h"

namespace atelier::networks {

/// Image → features at the base: one halving per level, finest first: C → width → 2·width → …, each
/// with its normalisation (but the first) and activation.
class HalvingNet : public Net {
 protected:
  HalvingNet(const Geometry& geometry, std::int64_t width, const Style& style,
             Activation activation);
  /// Shapes: [N, C, H, W] → [N, feature_count].
  [[nodiscard]] at::Tensor halve(const at::Tensor& x_NCHW);
  [[nodiscard]] std::int64_t feature_count() const { return feature_count_; }

 private:
  Activation activation_;
  std::int64_t feature_count_;
  torch::nn::ModuleList convolutions_;
  torch::nn::ModuleList normalizations_;  ///< empty, or one for each level but the first
};

/// Latent vector → image: a linear layer to the base, then the mirror: … → 2·width → width → C,
/// normalisation and activation before each doubling. Shapes: [N, Z] → [N, C, H, W].
class DoublingNet : public Net {
 public:
  [[nodiscard]] at::Tensor forward(const at::Tensor& z_NZ) override;

 protected:
  DoublingNet(const Geometry& geometry, std::int64_t width, std::int64_t latent, const Style& style,
              Activation activation);

 private:
  Activation activation_;
  std::int64_t base_channels_, base_height_, base_width_;
  torch::nn::Linear from_latent_{nullptr};
  torch::nn::ModuleList convolutions_;
  torch::nn::ModuleList normalizations_;  ///< empty, or one for each level
};

}  // namespace atelier::networks
