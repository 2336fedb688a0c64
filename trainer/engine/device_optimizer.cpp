#include "trainer/engine/device_optimizer.h"

namespace atelier::engine {

DeviceOptimizer::DeviceOptimizer(const OptimizerConfig& config, const at::Tensor& flat_gradients)
    : config_(config), steps_(torch::zeros({1}, flat_gradients.options().dtype(torch::kLong))) {
  for (const std::string_view name : moment_names(config.kind)) {
    moments_.push_back({name, torch::zeros_like(flat_gradients)});
  }
}

at::Tensor DeviceOptimizer::update(FlatParameters& flat, const at::Tensor& average,
                                   const DeviceStep& step) {
  const at::Tensor finite = torch::isfinite(step.gradient_norm);
  const at::Tensor found = finite.logical_not().to(torch::kFloat);
  steps_.add_(finite.to(torch::kLong));
  change_weights(flat, step, found);
  const at::Tensor trained = flat.trained();
  flat.weights_changed();
  if (average.defined()) {
    const at::Tensor weight = (step.average_step * (1 - found)).to(trained.scalar_type());
    average.narrow(0, 0, trained.numel()).lerp_(trained, weight.squeeze());
  }
  return norm_on_device(trained);
}

void DeviceOptimizer::change_weights(const FlatParameters& flat, const DeviceStep& step,
                                     const at::Tensor& found) {
  std::optional<at::Tensor> divisor;  // of the gradients: clipping
  if (config_.clip_norm > 0) {
    divisor = (step.gradient_norm / config_.clip_norm).clamp_min(1).to(torch::kFloat);
  }
  const std::vector<at::Tensor> weights{flat.trained()};
  const std::vector<at::Tensor> gradients{flat.gradients()};
  const std::vector<at::Tensor> first{moments_[0].value};
  if (config_.kind == OptimizerKind::kSgd) {
    at::_fused_sgd_(weights, gradients, first, config_.weight_decay, config_.momentum,
                    step.learning_rate, 0.0, false, false, false, divisor, found);
    return;
  }
  const std::vector<at::Tensor> second{moments_[1].value};
  const std::vector<at::Tensor> steps{steps_.to(torch::kFloat)};
  const auto change = [&](auto&& rule) {
    rule(weights, gradients, first, second, std::vector<at::Tensor>{}, steps, step.learning_rate,
         config_.beta1, config_.beta2, config_.weight_decay, config_.epsilon, false, false, divisor,
         found);
  };
  if (config_.kind == OptimizerKind::kAdamW) {
    change([](auto&&... arguments) { at::_fused_adamw_(arguments...); });
  } else {
    change([](auto&&... arguments) { at::_fused_adam_(arguments...); });
  }
}

at::Tensor norm_on_device(const at::Tensor& flat) {
  return at::linalg_vector_norm(flat, 2, std::nullopt, false, torch::kDouble);
}

}  // namespace atelier::engine
