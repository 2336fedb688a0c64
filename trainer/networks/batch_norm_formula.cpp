#include "trainer/networks/batch_norm_formula.h"

namespace atelier::networks {

NormGradients differentiable_backward(const parallel::BatchReducer* batch,
                                      const at::Tensor& gradient_NCHW, const at::Tensor& x_NCHW,
                                      const at::Tensor& weight, const at::Tensor& count) {
  const auto mean_of = [&](const at::Tensor& sums) {
    return (batch == nullptr ? sums : batch->sum(sums)) / count;
  };
  const at::ScalarType type = weight.scalar_type();
  const at::Tensor x = x_NCHW.to(type);
  const at::Tensor gradient = gradient_NCHW.to(type);
  const at::Tensor centred = x - per_channel(mean_of(x.sum(kAllButChannels)));
  const at::Tensor var = mean_of(centred.square().sum(kAllButChannels));
  const at::Tensor invstd = (var + kNormEpsilon).rsqrt();
  const at::Tensor normal = centred * per_channel(invstd);
  const at::Tensor of_weight = (gradient * normal).sum(kAllButChannels);
  const at::Tensor of_bias = gradient.sum(kAllButChannels);
  const at::Tensor common =
      gradient - per_channel(mean_of(of_bias)) - normal * per_channel(mean_of(of_weight));
  return {.x_NCHW = (per_channel(weight * invstd) * common).to(x_NCHW.scalar_type()),
          .weight_C = of_weight,
          .bias_C = of_bias};
}

}  // namespace atelier::networks
