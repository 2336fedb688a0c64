// Spectral normalisation (Miyato, Kataoka, Koyama, Yoshida 2018, algorithm 1): a weight divided by
// its largest singular value, which one power iteration per training forward follows.
// Thread safety: one thread.
#pragma once

#include <cstdint>

#include <torch/torch.h>

namespace atelier::networks {

class SpectralNorm final : public torch::nn::Module {
 public:
  /// `rows`: size of the weight's first dimension.
  explicit SpectralNorm(std::int64_t rows);

  /// weight / sigma, with sigma = u' W v, u and v constant. Shapes: [rows, ...] → the same.
  [[nodiscard]] at::Tensor forward(const at::Tensor& weight);

 private:
  at::Tensor u_;  ///< left singular vector; a parameter that nothing trains, kept with the weights
};

}  // namespace atelier::networks
