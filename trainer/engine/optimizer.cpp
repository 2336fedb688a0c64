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

std::vector<double> one_per_block(std::int64_t elements) {
  return std::vector<double>(
      static_cast<std::size_t>((elements + kUpdateBlock - 1) / kUpdateBlock));
}

// The root of the sum, in the order of the blocks.
double root_of(const std::vector<double>& sums) {
  double sum = 0;
  for (const double part : sums) sum += part;
  return std::sqrt(sum);
}

template <typename T>
T* at_element(const at::Tensor& flat, std::int64_t first) {
  return flat.defined() ? flat.data_ptr<T>() + first : nullptr;
}

double squares_of_block(const at::Tensor& flat, std::int64_t first, std::int64_t count) {
  return AT_DISPATCH_FLOATING_TYPES(flat.scalar_type(), "norm", [&] {
    return sum_of_squares(at_element<scalar_t>(flat, first), count);
  });
}

// While the block is in the cache.
void round_block(const FlatParameters& flat, std::int64_t first, std::int64_t count) {
  if (!flat.rounded().defined()) return;
  auto* const rounded = static_cast<std::uint16_t*>(flat.rounded().data_ptr());
  round_to_bfloat16(at_element<float>(flat.weights(), first), rounded + first, count);
}

CommonUpdate common(const OptimizerStep& step) {
  return {.gradient_scale = step.gradient_scale, .average_step = 1.0 - step.average_decay};
}

// What all rules share: their moments, the count of steps, and the walk over the blocks.
class BlockwiseOptimizer : public HostOptimizer {
 public:
  BlockwiseOptimizer(const OptimizerConfig& config, const at::Tensor& like)
      : config_(config), steps_(torch::zeros({1}, torch::kLong)) {
    for (const std::string_view name : moment_names(config.kind)) {
      moments_.push_back({name, torch::zeros_like(like)});
    }
  }

  double update(FlatParameters& flat, const at::Tensor& average, const OptimizerStep& step) final {
    steps_.add_(1);
    std::vector<double> sums = one_per_block(flat.gradients().numel());
    in_blocks(flat.gradients().numel(), [&](std::int64_t first, std::int64_t count) {
      update_block({flat, average, first, count}, step);
      round_block(flat, first, count);
      sums[static_cast<std::size_t>(first / kUpdateBlock)] =
          squares_of_block(flat.weights(), first, count);
    });
    return root_of(sums);
  }
  [[nodiscard]] const std::vector<Moment>& moments() const final { return moments_; }
  [[nodiscard]] at::Tensor& steps() final { return steps_; }

 protected:
  struct Block {
    const FlatParameters& flat;
    const at::Tensor& average;
    std::int64_t first;
    std::int64_t count;
  };
  /// Called from several threads at once, each with blocks of its own.
  virtual void update_block(const Block& block, const OptimizerStep& step) const = 0;

  template <typename T>
  [[nodiscard]] T* moment(std::size_t index, const Block& block) const {
    return at_element<T>(moments_[index].value, block.first);
  }
  [[nodiscard]] const OptimizerConfig& config() const { return config_; }
  [[nodiscard]] std::int64_t steps_done() const { return *steps_.const_data_ptr<std::int64_t>(); }

 private:
  OptimizerConfig config_;
  std::vector<Moment> moments_;
  at::Tensor steps_;
};

class Adam final : public BlockwiseOptimizer {
 public:
  using BlockwiseOptimizer::BlockwiseOptimizer;

 private:
  void update_block(const Block& block, const OptimizerStep& step) const override {
    const AdamUpdate rule{.common = common(step),
                          .learning_rate = step.learning_rate,
                          .beta1 = config().beta1,
                          .beta2 = config().beta2,
                          .epsilon = config().epsilon,
                          .weight_decay = config().weight_decay,
                          .decoupled = config().kind == OptimizerKind::kAdamW,
                          .step = steps_done()};
    AT_DISPATCH_FLOATING_TYPES(block.flat.weights().scalar_type(), "adam", [&] {
      engine::update(rule,
                     AdamMemory<scalar_t>{
                         .weights = at_element<scalar_t>(block.flat.weights(), block.first),
                         .gradients = at_element<scalar_t>(block.flat.gradients(), block.first),
                         .first_moment = moment<scalar_t>(0, block),
                         .second_moment = moment<scalar_t>(1, block),
                         .average = at_element<scalar_t>(block.average, block.first),
                         .count = block.count});
    });
  }
};

class Sgd final : public BlockwiseOptimizer {
 public:
  using BlockwiseOptimizer::BlockwiseOptimizer;

 private:
  void update_block(const Block& block, const OptimizerStep& step) const override {
    const SgdUpdate rule{.common = common(step),
                         .learning_rate = step.learning_rate,
                         .momentum = config().momentum,
                         .weight_decay = config().weight_decay};
    AT_DISPATCH_FLOATING_TYPES(block.flat.weights().scalar_type(), "sgd", [&] {
      engine::update(rule,
                     SgdMemory<scalar_t>{
                         .weights = at_element<scalar_t>(block.flat.weights(), block.first),
                         .gradients = at_element<scalar_t>(block.flat.gradients(), block.first),
                         .velocity = moment<scalar_t>(0, block),
                         .average = at_element<scalar_t>(block.average, block.first),
                         .count = block.count});
    });
  }
};

}  // namespace

std::vector<std::string_view> moment_names(OptimizerKind kind) {
  if (kind == OptimizerKind::kSgd) return {"velocity"};
  return {"first_moment", "second_moment"};
}

std::unique_ptr<HostOptimizer> make_optimizer(const OptimizerConfig& config,
                                              const at::Tensor& flat_gradients) {
  ATELIER_CHECK(flat_gradients.is_cpu(), "device_optimizer.h has that of devices");
  if (config.kind == OptimizerKind::kSgd) return std::make_unique<Sgd>(config, flat_gradients);
  return std::make_unique<Adam>(config, flat_gradients);
}

double norm_of(const at::Tensor& flat) {
  std::vector<double> sums = one_per_block(flat.numel());
  in_blocks(flat.numel(), [&](std::int64_t first, std::int64_t count) {
    sums[static_cast<std::size_t>(first / kUpdateBlock)] = squares_of_block(flat, first, count);
  });
  return root_of(sums);
}

}  // namespace atelier::engine
