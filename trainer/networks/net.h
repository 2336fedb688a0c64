// The base of all networks, and weights that are a pure function of the seed. Thread safety: a net
// is used by one thread at a time.
#pragma once

#include <cstdint>

#include <torch/torch.h>

namespace atelier::networks {

enum class InitialWeights : std::uint8_t {
  kUniformByFanIn,  ///< U(-b, b), b = 1/sqrt(fan_in): PyTorch's default for convolutions and linear
                    ///< layers (He et al. 2015 with a = sqrt(5)), biases too
  kNormal,          ///< N(0, 0.02), normalisation weights N(1, 0.02) (Radford et al. 2016, §4)
};

class Net : public torch::nn::Module {
 public:
  [[nodiscard]] virtual at::Tensor forward(const at::Tensor& input) = 0;
  [[nodiscard]] virtual InitialWeights initial_weights() const {
    return InitialWeights::kUniformByFanIn;
  }
};

/// Fills every parameter that is trained as net.initial_weights() says, drawn from (seed, net,
/// parameter), so that all ranks start equal without a broadcast. A bias has the fan-in of the
/// weight before it; after a normalisation it is zero.
void initialize(Net& net, std::uint64_t seed, std::uint64_t net_index);

/// Of the trained ones.
[[nodiscard]] std::int64_t parameter_count(const Net& net);

}  // namespace atelier::networks
