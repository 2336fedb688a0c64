#include "trainer/networks/batch_norm.h"

#include <algorithm>
#include <type_traits>

#include <ATen/Parallel.h>

#include "launch/base/error.h"
#include "trainer/networks/batch_norm_device.h"
#include "trainer/networks/batch_norm_formula.h"
#include "trainer/networks/channel_loops.h"

namespace atelier::networks {
namespace {

// Rows are worked on in chunks of this many, shared out among threads; sums are taken chunk by
// chunk, so that the number of threads changes no bits.
constexpr std::int64_t kChunkRows = 2048;

// Over the batch, of all ranks or of one; double.
struct Statistics {
  at::Tensor mean_C;
  at::Tensor var_C;  ///< biased
  double count = 0;  ///< values per channel
};

std::int64_t rows_of(const at::Tensor& x_NCHW) {
  return x_NCHW.numel() / std::max<std::int64_t>(1, x_NCHW.size(1));
}

std::int64_t chunks_of(const at::Tensor& x_NCHW) {
  return (rows_of(x_NCHW) + kChunkRows - 1) / kChunkRows;
}

// What the ranks found, combined in rank order (Chan, Golub, LeVeque 1983): the variance of the
// whole is never a difference of large numbers. Shapes: [world, 1 + 2 C]: count, mean, variance.
Statistics combine(const at::Tensor& of_ranks) {
  const auto rows = of_ranks.accessor<double, 2>();
  const std::int64_t channels = (rows.size(1) - 1) / 2;
  Statistics all{.mean_C = of_ranks.new_zeros({channels}), .var_C = of_ranks.new_zeros({channels})};
  for (std::int64_t rank = 0; rank < rows.size(0); ++rank) all.count += rows[rank][0];
  for (std::int64_t c = 0; c < channels; ++c) {
    double mean = 0;
    double spread = 0;
    for (std::int64_t rank = 0; rank < rows.size(0); ++rank) {
      mean += rows[rank][0] * rows[rank][1 + c] / all.count;
    }
    for (std::int64_t rank = 0; rank < rows.size(0); ++rank) {
      const double distance = rows[rank][1 + c] - mean;
      spread += rows[rank][0] * (rows[rank][1 + channels + c] + distance * distance);
    }
    all.mean_C.data_ptr<double>()[c] = mean;
    all.var_C.data_ptr<double>()[c] = spread / all.count;
  }
  return all;
}

// Calls `work(chunk, first row, rows)` for all rows of x.
template <typename Work>
void in_chunks(const at::Tensor& x_NCHW, Work work) {
  const std::int64_t rows = rows_of(x_NCHW);
  at::parallel_for(0, chunks_of(x_NCHW), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t chunk = begin; chunk < end; ++chunk) {
      const std::int64_t first = chunk * kChunkRows;
      work(chunk, first, std::min(kChunkRows, rows - first));
    }
  });
}

template <typename T>
T* at_row(const at::Tensor& x_NCHW, std::int64_t row) {
  return static_cast<T*>(x_NCHW.data_ptr()) + row * x_NCHW.size(1);
}

// Two sums per channel over all rows. `add(first row, rows, sums, others)` adds those of some.
// Shapes: → [2, C] double.
template <typename Add>
at::Tensor sum_by_channel(const at::Tensor& x_NCHW, Add add) {
  const std::int64_t channels = x_NCHW.size(1);
  at::Tensor sums = torch::zeros({chunks_of(x_NCHW), 2, channels}, torch::kDouble);
  auto* const memory = sums.data_ptr<double>();
  in_chunks(x_NCHW, [&](std::int64_t chunk, std::int64_t first, std::int64_t rows) {
    double* const own = memory + chunk * 2 * channels;
    add(first, rows, own, own + channels);
  });
  return sums.sum(0);
}

// Calls `work` with a value of the type whose loops work on x.
template <typename Work>
void by_type(const at::Tensor& x, Work work) {
  switch (x.scalar_type()) {
    case at::kBFloat16:
      return work(BFloat16{});
    case at::kFloat:
      return work(float{});
    case at::kDouble:
      return work(double{});
    default:
      fail_check("type", "batch normalisation works on bfloat16, float32 and float64");
  }
}

template <typename T>
at::ScalarType wide_type() {
  return std::is_same_v<T, double> ? at::kDouble : at::kFloat;
}

// Count, mean and variance of this rank's rows. Shapes: → [1 + 2 C] double.
at::Tensor own_statistics(const at::Tensor& x_NCHW) {
  const std::int64_t channels = x_NCHW.size(1);
  at::Tensor mine = torch::zeros({1 + 2 * channels}, torch::kDouble);
  if (x_NCHW.numel() == 0) return mine;
  by_type(x_NCHW, [&](auto type) {
    using T = decltype(type);
    // Near the mean, so that squares do not cancel.
    const at::Tensor shift = x_NCHW.permute({0, 2, 3, 1}).flatten(0, 2)[0].to(wide_type<T>());
    const at::Tensor sums = sum_by_channel(
        x_NCHW, [&](std::int64_t first, std::int64_t rows, double* of_x, double* squares) {
          add_moments<T>({at_row<T>(x_NCHW, first), rows, channels}, shift.data_ptr<Wide<T>>(),
                         of_x, squares);
        });
    const auto rows = static_cast<double>(rows_of(x_NCHW));
    const at::Tensor apart = sums[0] / rows;
    mine[0] = rows;
    mine.narrow(0, 1, channels).copy_(apart + shift);
    mine.narrow(0, 1 + channels, channels).copy_((sums[1] / rows - apart.square()).clamp_min(0));
  });
  return mine;
}

at::Tensor scaled(const at::Tensor& x_NCHW, const at::Tensor& slope, const at::Tensor& level) {
  at::Tensor out = at::empty_like(x_NCHW);
  by_type(x_NCHW, [&](auto type) {
    using T = decltype(type);
    in_chunks(x_NCHW, [&](std::int64_t, std::int64_t first, std::int64_t rows) {
      scale_rows<T>({at_row<T>(x_NCHW, first), rows, x_NCHW.size(1)}, slope.data_ptr<Wide<T>>(),
                    level.data_ptr<Wide<T>>(), at_row<T>(out, first));
    });
  });
  return out;
}

// dL/dx of the batch's loss, which is the sum of the ranks' shares: what the other ranks' images
// owe to the common mean and variance arrives through the two sums (Ioffe and Szegedy 2015, §3).
NormGradients first_order(const parallel::BatchReducer* batch, const at::Tensor& gradient_NCHW,
                          const at::Tensor& x_NCHW, const at::Tensor& weight,
                          const Statistics& all) {
  const torch::NoGradGuard no_grad;
  const at::Tensor g = gradient_NCHW.contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor invstd = (all.var_C + kNormEpsilon).rsqrt();
  NormGradients own{.x_NCHW = at::empty_like(x_NCHW), .weight_C = {}, .bias_C = {}};
  by_type(x_NCHW, [&](auto type) {
    using T = decltype(type);
    const std::int64_t channels = x_NCHW.size(1);
    const at::Tensor mean = all.mean_C.to(wide_type<T>());
    at::Tensor sums = sum_by_channel(
        x_NCHW, [&](std::int64_t first, std::int64_t rows, double* of_g, double* of_both) {
          add_products<T>({at_row<T>(g, first), rows, channels}, at_row<T>(x_NCHW, first),
                          mean.data_ptr<Wide<T>>(), of_g, of_both);
        });
    sums[1].mul_(invstd);
    own.bias_C = sums[0].to(weight.scalar_type());
    own.weight_C = sums[1].to(weight.scalar_type());
    const at::Tensor means = (batch == nullptr ? sums : batch->sum(sums)) / all.count;
    const at::Tensor slope = weight.to(at::kDouble) * invstd;
    const at::Tensor x_slope = -slope * invstd * means[1];
    const at::Tensor level = -slope * means[0] - x_slope * all.mean_C;
    const at::Tensor by_channel = torch::stack({slope, x_slope, level}).to(wide_type<T>());
    const auto* const values = by_channel.data_ptr<Wide<T>>();
    in_chunks(x_NCHW, [&](std::int64_t, std::int64_t first, std::int64_t rows) {
      mix_rows<T>({at_row<T>(g, first), rows, channels}, at_row<T>(x_NCHW, first), values,
                  values + channels, values + 2 * channels, at_row<T>(own.x_NCHW, first));
    });
  });
  return own;
}

class Normalize : public torch::autograd::Function<Normalize> {
 public:
  // `batch`: null for this rank's images alone.
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x_NCHW,
                            const at::Tensor& weight, const at::Tensor& bias,
                            const at::Tensor& mean, const at::Tensor& var, double count,
                            std::int64_t batch) {
    context->save_for_backward({x_NCHW, weight, mean, var});
    context->saved_data["count"] = count;
    context->saved_data["batch"] = batch;
    const at::Tensor slope = weight.to(at::kDouble) * (var + kNormEpsilon).rsqrt();
    const at::Tensor level = bias.to(at::kDouble) - slope * mean;
    return scaled(x_NCHW, slope.to(weight.scalar_type()), level.to(weight.scalar_type()));
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const double count = context->saved_data["count"].toDouble();
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the context stores numbers only
    const auto* const batch =
        reinterpret_cast<const parallel::BatchReducer*>(context->saved_data["batch"].toInt());
    const NormGradients all =
        torch::GradMode::is_enabled()
            ? differentiable_backward(batch, gradients.at(0), saved[0], saved[1],
                                      torch::scalar_tensor(count, torch::kDouble))
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
  if (is_training()) return over_batch(x_NCHW.contiguous(at::MemoryFormat::ChannelsLast));
  if (x_NCHW.numel() == 0) return x_NCHW;
  return at::batch_norm(x_NCHW, weight_, bias_, running_mean_, running_var_, false, kNormMomentum,
                        kNormEpsilon, false);
}

at::Tensor BatchNorm::over_batch(const at::Tensor& x_NCHW) {
  const parallel::BatchReducer* const batch =
      batch_ != nullptr && batch_->world() > 1 ? batch_ : nullptr;
  if (!x_NCHW.is_cpu()) {
    return normalize_on_device(
        batch, x_NCHW,
        {.weight = weight_, .bias = bias_, .mean = running_mean_, .var = running_var_});
  }
  Statistics all;
  {
    const torch::NoGradGuard no_grad;
    const at::Tensor mine = own_statistics(x_NCHW);
    all = combine(batch == nullptr ? mine.unsqueeze(0) : batch->gather(mine));
    if (all.count == 0) return x_NCHW;
    const at::ScalarType type = running_mean_.scalar_type();
    running_mean_.lerp_(all.mean_C.to(type), kNormMomentum);
    running_var_.lerp_((all.var_C * (all.count / std::max(1.0, all.count - 1))).to(type),
                       kNormMomentum);
  }
  return Normalize::apply(x_NCHW, weight_, bias_, all.mean_C, all.var_C, all.count,
                          reinterpret_cast<std::int64_t>(batch));
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
