#include "trainer/networks/batch_norm_device.h"

#include "trainer/networks/batch_norm_formula.h"

namespace atelier::networks {
namespace {

// Over the images of all ranks; double, on the device.
struct Statistics {
  at::Tensor mean_C;
  at::Tensor var_C;  ///< biased
  at::Tensor count;  ///< values per channel; scalar
};

at::ScalarType wide_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// Count, mean and variance of this rank's images. Shapes: → [1 + 2 C] double.
at::Tensor own_statistics(const at::Tensor& x_NCHW) {
  const std::int64_t channels = x_NCHW.size(1);
  const auto wide = x_NCHW.options().dtype(torch::kDouble);
  const std::int64_t rows = x_NCHW.numel() / std::max<std::int64_t>(1, channels);
  if (rows == 0) return torch::zeros({1 + 2 * channels}, wide);
  // One pass over x, in at least float32 inside; its normalised output is not needed.
  const auto [out, mean, invstd] =
      at::native_batch_norm(x_NCHW, {}, {}, {}, {}, true, kNormMomentum, kNormEpsilon);
  const at::Tensor var = invstd.to(torch::kDouble).square().reciprocal() - kNormEpsilon;
  return torch::cat({torch::full({1}, static_cast<double>(rows), wide), mean.to(torch::kDouble),
                     var.clamp_min(0)});
}

// As on hosts (batch_norm.cpp). Shapes: [world, 1 + 2 C].
Statistics combine(const at::Tensor& of_ranks) {
  const std::int64_t channels = (of_ranks.size(1) - 1) / 2;
  const at::Tensor counts = of_ranks.narrow(1, 0, 1);
  const at::Tensor means = of_ranks.narrow(1, 1, channels);
  const at::Tensor vars = of_ranks.narrow(1, 1 + channels, channels);
  const at::Tensor count = counts.sum();
  const at::Tensor mean = (counts * means).sum(0) / count;
  return {.mean_C = mean,
          .var_C = (counts * (vars + (means - mean).square())).sum(0) / count,
          .count = count};
}

// x is normalised with statistics that stand as if they did not depend on it; what they owe to it
// comes through the sums over all ranks (Ioffe and Szegedy 2015, §3).
NormGradients first_order(const parallel::BatchReducer& batch, const at::Tensor& gradient_NCHW,
                          const at::Tensor& x_NCHW, const at::Tensor& weight,
                          const Statistics& all) {
  const torch::NoGradGuard no_grad;
  const at::ScalarType wide = wide_type(x_NCHW);
  const auto [x_part, of_weight, of_bias] = at::native_batch_norm_backward(
      gradient_NCHW, x_NCHW, weight, all.mean_C.to(wide), all.var_C.to(wide), {}, {}, false,
      kNormEpsilon, {true, true, true});
  const at::Tensor sums = torch::stack({of_bias, of_weight}).to(torch::kDouble);
  const at::Tensor means = batch.sum(sums) / all.count;
  const at::Tensor invstd = (all.var_C + kNormEpsilon).rsqrt();
  const at::Tensor slope = weight.to(torch::kDouble) * invstd;
  const at::Tensor x_slope = -slope * invstd * means[1];
  const at::Tensor level = -slope * means[0] - x_slope * all.mean_C;
  at::Tensor of_x = x_NCHW * per_channel(x_slope.to(wide));
  of_x.add_(per_channel(level.to(wide))).add_(x_part);
  return {.x_NCHW = of_x.to(x_NCHW.scalar_type()), .weight_C = of_weight, .bias_C = of_bias};
}

class NormalizeOverRanks : public torch::autograd::Function<NormalizeOverRanks> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x_NCHW,
                            const at::Tensor& weight, const at::Tensor& bias,
                            const torch::autograd::variable_list& statistics, std::int64_t batch) {
    context->save_for_backward({x_NCHW, weight, statistics[0], statistics[1], statistics[2]});
    context->saved_data["batch"] = batch;
    if (x_NCHW.numel() == 0) return x_NCHW.clone();
    const at::ScalarType wide = wide_type(x_NCHW);
    return at::batch_norm(x_NCHW, weight, bias, statistics[0].to(wide), statistics[1].to(wide),
                          false, kNormMomentum, kNormEpsilon, true);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the context stores numbers only
    const auto& batch =
        *reinterpret_cast<const parallel::BatchReducer*>(context->saved_data["batch"].toInt());
    const Statistics all{.mean_C = saved[2], .var_C = saved[3], .count = saved[4]};
    const at::Tensor gradient = gradients.at(0).contiguous(at::MemoryFormat::ChannelsLast);
    const NormGradients own = torch::GradMode::is_enabled()
                                  ? differentiable_backward(&batch, gradient, saved[0], saved[1],
                                                            all.count.to(saved[1].scalar_type()))
                                  : first_order(batch, gradient, saved[0], saved[1], all);
    return {own.x_NCHW, own.weight_C, own.bias_C, {}, {}, {}, {}};
  }
};

}  // namespace

at::Tensor normalize_on_device(const parallel::BatchReducer* batch, const at::Tensor& x_NCHW,
                               const NormParameters& parameters) {
  if (batch == nullptr) {
    if (x_NCHW.numel() == 0) return x_NCHW;
    return at::batch_norm(x_NCHW, parameters.weight, parameters.bias, parameters.mean,
                          parameters.var, true, kNormMomentum, kNormEpsilon, true);
  }
  Statistics all;
  {
    const torch::NoGradGuard no_grad;
    all = combine(batch->gather(own_statistics(x_NCHW)));
    const at::ScalarType type = parameters.mean.scalar_type();
    const at::Tensor unbiased = all.var_C * (all.count / (all.count - 1).clamp_min(1));
    parameters.mean.lerp_(all.mean_C.to(type), kNormMomentum);
    parameters.var.lerp_(unbiased.to(type), kNormMomentum);
  }
  return NormalizeOverRanks::apply(x_NCHW, parameters.weight, parameters.bias,
                                   torch::autograd::variable_list{all.mean_C, all.var_C, all.count},
                                   reinterpret_cast<std::int64_t>(batch));
}

}  // namespace atelier::networks
