#include "trainer/networks/net.h"

#include <cmath>

#include "launch/base/error.h"
#include "launch/base/random.h"

namespace atelier::networks {

void initialize(Net& net, std::uint64_t seed, std::uint64_t net_index) {
  const torch::NoGradGuard no_grad;
  std::uint64_t index = 0;
  std::int64_t fan_in = 0;
  for (at::Tensor& parameter : net.parameters()) {
    // A bias follows its weight and has that weight's fan-in.
    if (parameter.dim() > 1) fan_in = parameter.numel() / parameter.size(0);
    ATELIER_CHECK(fan_in > 0, "the first parameter of a net is a weight");
    at::Tensor values = torch::empty(parameter.sizes(), torch::kFloat);
    fill_uniform(
        {.seed = seed, .stream = Stream::kInitialWeights, .major = net_index, .minor = index},
        {values.data_ptr<float>(), static_cast<std::size_t>(values.numel())});
    const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
    parameter.copy_(values.mul_(2 * bound).sub_(bound));
    ++index;
  }
}

std::int64_t parameter_count(const Net& net) {
  std::int64_t count = 0;
  for (const at::Tensor& parameter : net.parameters()) count += parameter.numel();
  return count;
}

}  // namespace atelier::networks
