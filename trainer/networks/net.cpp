#include "trainer/networks/net.h"

#include <cmath>

#include "launch/base/random.h"

namespace atelier::networks {
namespace {

constexpr double kDeviation = 0.02;

// Weights of normalisations are the one-dimensional ones.
bool is_weight(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  return name.substr(dot == std::string::npos ? 0 : dot + 1) == "weight";
}

at::Tensor normal(at::IntArrayRef shape, const RandomKey& key) {
  at::Tensor values = torch::empty(shape, torch::kFloat);
  fill_normal(key, {values.data_ptr<float>(), static_cast<std::size_t>(values.numel())});
  return values.mul_(kDeviation);
}

at::Tensor uniform(at::IntArrayRef shape, const RandomKey& key, std::int64_t fan_in) {
  at::Tensor values = torch::empty(shape, torch::kFloat);
  fill_uniform(key, {values.data_ptr<float>(), static_cast<std::size_t>(values.numel())});
  const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
  return values.mul_(2 * bound).sub_(bound);
}

}  // namespace

void initialize(Net& net, std::uint64_t seed, std::uint64_t net_index) {
  const torch::NoGradGuard no_grad;
  const bool by_fan_in = net.initial_weights() == InitialWeights::kUniformByFanIn;
  RandomKey key{.seed = seed, .stream = Stream::kInitialWeights, .major = net_index, .minor = 0};
  std::int64_t fan_in = 0;  // 0: below a normalisation
  for (const auto& named : net.named_parameters()) {
    at::Tensor parameter = named.value();
    if (parameter.dim() > 1) {
      fan_in = parameter.numel() / parameter.size(0);
      parameter.copy_(by_fan_in ? uniform(parameter.sizes(), key, fan_in)
                                : normal(parameter.sizes(), key));
    } else if (parameter.requires_grad() && is_weight(named.key())) {
      fan_in = 0;
      parameter.fill_(1);
      if (!by_fan_in) parameter.add_(normal(parameter.sizes(), key));
    } else if (parameter.requires_grad() && by_fan_in && fan_in > 0) {
      // A bias follows its weight and has that weight's fan-in.
      parameter.copy_(uniform(parameter.sizes(), key, fan_in));
    } else if (parameter.requires_grad()) {
      parameter.zero_();
    }
    ++key.minor;
  }
}

std::int64_t parameter_count(const Net& net) {
  std::int64_t count = 0;
  for (const at::Tensor& parameter : net.parameters()) {
    if (parameter.requires_grad()) count += parameter.numel();
  }
  return count;
}

}  // namespace atelier::networks
