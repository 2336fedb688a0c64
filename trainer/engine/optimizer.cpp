#include "trainer/engine/optimizer.h"

#include <algorithm>
#include <cmath>

#include <ATen/Parallel.h>

#include "launch/base/error.h"
#include "trainer/engine/update_loops.h"

namespace atelier::engine {
namespace {

// Runs `work(first, count)` over whole blocks of [0, elements), shared out among the threads.
template <typename Work>
void in_blocks(std::int64_t elements, Work work) {
  const std::int64_t blocks = (elements + kUpdateBlock - 1) / kUpdateBlock;
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) {
      const std::int64_t first = block * kUpdateBlock;
      work(first, std::min(kUpdateBlock, elements - first));
    }
  });
}

template <typename T>
T* at_element(const at::Tensor& flat, std::int64_t first) {
  return flat.defined() ? flat.data_ptr<T>() + first : nullptr;
}

CommonUpdate common(const OptimizerStep& step) {
  return {.gradient_scale = step.gradient_scale, .average_step = 1.0 - step.average_decay};
}

class Adam final : public Optimizer {
 public:
  Adam(const OptimizerConfig& config, const at::Tensor& like)
      : config_(config),
        moments_{{"first_moment", torch::zeros_like(like)},
                 {"second_moment", torch::zeros_like(like)}},
        steps_(torch::zeros({1}, torch::kLong)) {}

  void update(FlatParameters& flat, const at::Tensor& average, const OptimizerStep& step) override {
    steps_.add_(1);
    const AdamUpdate rule{.common = common(step),
                          .learning_rate = step.learning_rate,
                          .beta1 = config_.beta1,
                          .beta2 = config_.beta2,
                          .epsilon = config_.epsilon,
                          .weight_decay = config_.weight_decay,
                          .decoupled = config_.kind == OptimizerKind::kAdamW,
                          .step = steps_.item<std::int64_t>()};
    AT_DISPATCH_FLOATING_TYPES(flat.weights().scalar_type(), "adam", [&] {
      in_blocks(flat.gradients().numel(), [&](std::int64_t first, std::int64_t count) {
        engine::update(rule, AdamMemory<scalar_t>{
                                 .weights = at_element<scalar_t>(flat.weights(), first),
                                 .gradients = at_element<scalar_t>(flat.gradients(), first),
                                 .first_moment = at_element<scalar_t>(moments_[0].value, first),
                                 .second_moment = at_element<scalar_t>(moments_[1].value, first),
                                 .average = at_element<scalar_t>(average, first),
                                 .count = count});
      });
    });
  }
  [[nodiscard]] const std::vector<Moment>& moments() const override { return moments_; }
  [[nodiscard]] at::Tensor& steps() override { return steps_; }

 private:
  OptimizerConfig config_;
  std::vector<Moment> moments_;
  at::Tensor steps_;
};

class Sgd final : public Optimizer {
 public:
  Sgd(const OptimizerConfig& config, const at::Tensor& like)
      : config_(config),
        moments_{{"velocity", torch::zeros_like(like)}},
        steps_(torch::zeros({1}, torch::kLong)) {}

  void update(FlatParameters& flat, const at::Tensor& average, const OptimizerStep& step) override {
    steps_.add_(1);
    const SgdUpdate rule{.common = common(step),
                         .learning_rate = step.learning_rate,
                         .momentum = config_.momentum,
                         .weight_decay = config_.weight_decay};
    AT_DISPATCH_FLOATING_TYPES(flat.weights().scalar_type(), "sgd", [&] {
      in_blocks(flat.gradients().numel(), [&](std::int64_t first, std::int64_t count) {
        engine::update(
            rule, SgdMemory<scalar_t>{.weights = at_element<scalar_t>(flat.weights(), first),
                                      .gradients = at_element<scalar_t>(flat.gradients(), first),
                                      .velocity = at_element<scalar_t>(moments_[0].value, first),
                                      .average = at_element<scalar_t>(average, first),
                                      .count = count});
      });
    });
  }
  [[nodiscard]] const std::vector<Moment>& moments() const override { return moments_; }
  [[nodiscard]] at::Tensor& steps() override { return steps_; }

 private:
  OptimizerConfig config_;
  std::vector<Moment> moments_;
  at::Tensor steps_;
};

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config,
                                          const at::Tensor& flat_gradients) {
  ATELIER_CHECK(flat_gradients.is_cpu(), "optimizers update weights on CPUs");
  if (config.kind == OptimizerKind::kSgd) return std::make_unique<Sgd>(config, flat_gradients);
  return std::make_unique<Adam>(config, flat_gradients);
}

double norm_of(const at::Tensor& flat) {
  std::vector<double> sums(
      static_cast<std::size_t>((flat.numel() + kUpdateBlock - 1) / kUpdateBlock));
  AT_DISPATCH_FLOATING_TYPES(flat.scalar_type(), "norm", [&] {
    in_blocks(flat.numel(), [&](std::int64_t first, std::int64_t count) {
      sums[static_cast<std::size_t>(first / kUpdateBlock)] =
          sum_of_squares(at_element<scalar_t>(flat, first), count);
    });
  });
  double sum = 0;
  for (const double part : sums) sum += part;
  return std::sqrt(sum);
}

}  // namespace atelier::engine
