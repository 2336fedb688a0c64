#include "trainer/networks/batch_norm.h"

#include <array>

namespace atelier::networks {
namespace {

constexpr double kEpsilon = 1e-5;
constexpr double kMomentum = 0.1;
constexpr std::array<std::int64_t, 3> kAllButChannels{0, 2, 3};

// Of one channel dimension, over the global batch.
struct Statistics {
  at::Tensor mean_C;
  at::Tensor var_C;  ///< biased
  double count = 0;  ///< values per channel
};

double values_per_channel(const at::Tensor& x_NCHW) {
  return static_cast<double>(x_NCHW.numel() / x_NCHW.size(1));
}

at::Tensor per_channel(const at::Tensor& values_C) { return values_C.view({1, -1, 1, 1}); }

// What the ranks found, combined in rank order (Chan, Golub, LeVeque 1983): the variance of the
// whole is never a difference of large numbers. Shapes: [world, 1 + 2 C]: count, mean, variance.
template <typename T>
Statistics combine(const at::Tensor& of_ranks) {
  const auto rows = of_ranks.accessor<T, 2>();
  const std::int64_t channels = (rows.size(1) - 1) / 2;
  Statistics all{.mean_C = of_ranks.new_zeros({channels}), .var_C = of_ranks.new_zeros({channels})};
  for (std::int64_t rank = 0; rank < rows.size(0); ++rank) all.count += rows[rank][0];
  T* const means = all.mean_C.data_ptr<T>();
  T* const variances = all.var_C.data_ptr<T>();
  for (std::int64_t c = 0; c < channels; ++c) {
    double mean = 0;
    double spread = 0;
    for (std::int64_t rank = 0; rank < rows.size(0); ++rank) {
      mean += double{rows[rank][0]} * double{rows[rank][1 + c]} / all.count;
    }
    for (std::int64_t rank = 0; rank < rows.size(0); ++rank) {
      const double distance = double{rows[rank][1 + c]} - mean;
      spread +=
          double{rows[rank][0]} * (double{rows[rank][1 + channels + c]} + distance * distance);
    }
    means[c] = static_cast<T>(mean);
    variances[c] = static_cast<T>(spread / all.count);
  }
  return all;
}

// `like`: a parameter; float32 where x is bfloat16.
Statistics statistics_over_ranks(const parallel::BatchReducer& batch, const at::Tensor& x_NCHW,
                                 const at::Tensor& like) {
  const std::int64_t channels = x_NCHW.size(1);
  at::Tensor mine = like.new_zeros({1 + 2 * channels});
  if (x_NCHW.numel() > 0) {
    // With running statistics of float32, and no step towards the new ones, the sums of bfloat16
    // images are float32 too.
    const at::Tensor none = like.new_zeros({channels});
    const auto [mean, var] = at::batch_norm_update_stats(x_NCHW, none, none, 0.0);
    mine.narrow(0, 0, 1).fill_(values_per_channel(x_NCHW));
    mine.narrow(0, 1, channels).copy_(mean);
    mine.narrow(0, 1 + channels, channels).copy_(var);
  }
  const at::Tensor of_ranks = batch.gather(mine);
  return like.scalar_type() == at::kDouble ? combine<double>(of_ranks) : combine<float>(of_ranks);
}

struct Gradients {
  at::Tensor x_NCHW, weight_C, bias_C;
};

// dL/dx of the batch's loss, which is the sum of the ranks' shares: what the other ranks' images
// owe to the common mean and variance arrives through the two sums (Ioffe and Szegedy 2015, §3).
Gradients first_order(const parallel::BatchReducer& batch, const at::Tensor& gradient_NCHW,
                      const at::Tensor& x_NCHW, const at::Tensor& weight, const Statistics& all) {
  const torch::NoGradGuard no_grad;
  const at::Tensor invstd = (all.var_C + kEpsilon).rsqrt();
  Gradients own{.x_NCHW = at::empty_like(x_NCHW),
                .weight_C = at::zeros_like(weight),
                .bias_C = at::zeros_like(weight)};
  if (x_NCHW.numel() > 0) {
    // As if mean and variance were constants: dL/dx is then weight invstd dL/dy.
    std::tie(own.x_NCHW, own.weight_C, own.bias_C) =
        at::native_batch_norm_backward(gradient_NCHW, x_NCHW, weight, all.mean_C, all.var_C, {}, {},
                                       false, kEpsilon, {true, true, true});
  }
  const auto sums = batch.sum(at::stack({own.weight_C, own.bias_C})).div(all.count);
  if (x_NCHW.numel() > 0) {
    const at::Tensor scale = weight * invstd;
    const at::Tensor slope = scale * invstd * sums[0];
    const at::Tensor level = scale * sums[1] - slope * all.mean_C;
    own.x_NCHW.sub_(at::addcmul(per_channel(level), x_NCHW, per_channel(slope)));
  }
  return own;
}

// The same as a formula of x, weight and gradient, with mean and variance as functions of x, so
// that autograd can differentiate it again.
Gradients differentiable(const parallel::BatchReducer& batch, const at::Tensor& gradient_NCHW,
                         const at::Tensor& x_NCHW, const at::Tensor& weight, double count) {
  const at::ScalarType type = weight.scalar_type();
  const at::Tensor x = x_NCHW.to(type);
  const at::Tensor gradient = gradient_NCHW.to(type);
  const at::Tensor mean = batch.sum(x.sum(kAllButChannels)) / count;
  const at::Tensor centred = x - per_channel(mean);
  const at::Tensor var = batch.sum(centred.square().sum(kAllButChannels)) / count;
  const at::Tensor invstd = (var + kEpsilon).rsqrt();
  const at::Tensor normal = centred * per_channel(invstd);
  const at::Tensor of_weight = (gradient * normal).sum(kAllButChannels);
  const at::Tensor of_bias = gradient.sum(kAllButChannels);
  const at::Tensor common = gradient - per_channel(batch.sum(of_bias) / count) -
                            normal * per_channel(batch.sum(of_weight) / count);
  return {.x_NCHW = (per_channel(weight * invstd) * common).to(x_NCHW.scalar_type()),
          .weight_C = of_weight,
          .bias_C = of_bias};
}

class NormalizeOverRanks : public torch::autograd::Function<NormalizeOverRanks> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x_NCHW,
                            const at::Tensor& weight, const at::Tensor& bias,
                            const at::Tensor& mean, const at::Tensor& var, double count,
                            std::int64_t batch) {
    context->save_for_backward({x_NCHW, weight, mean, var});
    context->saved_data["count"] = count;
    context->saved_data["batch"] = batch;
    if (x_NCHW.numel() == 0) return at::empty_like(x_NCHW);
    return std::get<0>(
        at::native_batch_norm(x_NCHW, weight, bias, mean, var, false, 0.0, kEpsilon));
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const double count = context->saved_data["count"].toDouble();
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the context stores numbers only
    const auto& batch =
        *reinterpret_cast<const parallel::BatchReducer*>(context->saved_data["batch"].toInt());
    const Gradients all =
        torch::GradMode::is_enabled()
            ? differentiable(batch, gradients.at(0), saved[0], saved[1], count)
            : first_order(batch, gradients.at(0), saved[0], saved[1],
                          {.mean_C = saved[2], .var_C = saved[3], .count = count});
    return {all.x_NCHW, all.weight_C, all.bias_C, {}, {}, {}, {}};
  }
};

}  // namespace

BatchNorm::BatchNorm(std::int64_t channels)
    : weight_(register_parameter("weight", torch::ones({channels}))),
      bias_(register_parameter("bias", torch::zeros({channels}))),
      running_mean_(register_parameter("running_mean", torch::zeros({channels}), false)),
      running_var_(register_parameter("running_var", torch::ones({channels}), false)) {}

at::Tensor BatchNorm::forward(const at::Tensor& x_NCHW) {
  if (is_training() && batch_ != nullptr && batch_->world() > 1) return over_all_ranks(x_NCHW);
  if (x_NCHW.numel() == 0) return x_NCHW;
  return at::batch_norm(x_NCHW, weight_, bias_, running_mean_, running_var_, is_training(),
                        kMomentum, kEpsilon, false);
}

at::Tensor BatchNorm::over_all_ranks(const at::Tensor& x_NCHW) {
  Statistics all;
  {
    const torch::NoGradGuard no_grad;
    all = statistics_over_ranks(*batch_, x_NCHW, running_mean_);
    running_mean_.lerp_(all.mean_C, kMomentum);
    running_var_.lerp_(all.var_C * (all.count / (all.count - 1)), kMomentum);
  }
  return NormalizeOverRanks::apply(x_NCHW, weight_, bias_, all.mean_C, all.var_C, all.count,
                                   reinterpret_cast<std::int64_t>(batch_));
}

int share_batch_statistics(torch::nn::Module& net, const parallel::BatchReducer* batch) {
  int layers = 0;
  for (const auto& module : net.modules()) {
    if (auto* const layer = module->as<BatchNorm>()) {
      layer->share(batch);
      ++layers;
    }
  }
  return layers;
}

}  // namespace atelier::networks
