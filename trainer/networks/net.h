// The base of all networks, and weights that are a pure function of the seed. Thread safety: a net
// is used by one thread at a time.
#pragma once

#include <cstdint>

#include <torch/torch.h>

namespace atelier::networks {

class Net : public torch::nn::Module {
 public:
  [[nodiscard]] virtual at::Tensor forward(const at::Tensor& input) = 0;
};

/// Fills every parameter with U(-b, b), b = 1/sqrt(fan_in): PyTorch's default for convolutions and
/// linear layers (He et al. 2015 with a = sqrt(5)), drawn from (seed, net, parameter), so that all
/// ranks start equal without a broadcast. Requires: a bias comes right after its weight.
void initialize(Net& net, std::uint64_t seed, std::uint64_t net_index);

[[nodiscard]] std::int64_t parameter_count(const Net& net);

}  // namespace atelier::networks
