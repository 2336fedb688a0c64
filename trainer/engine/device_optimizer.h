// The update of a net on a device. All that it depends on lies there: whether the gradients are
// finite, how long they are, the learning rate of the step. So nothing waits for the device, and a
// recorded step can be replayed. Thread safety: one thread.
#pragma once

#include "trainer/engine/optimizer.h"

namespace atelier::engine {

/// Shapes: scalars or [1], on the device.
struct DeviceStep {
  at::Tensor learning_rate;  ///< float32
  at::Tensor average_step;   ///< float32: average += step (weight - average)
  at::Tensor gradient_norm;  ///< float64; where it is not finite, nothing changes
};

class DeviceOptimizer final : public Optimizer {
 public:
  DeviceOptimizer(const OptimizerConfig& config, const at::Tensor& flat_gradients);

  /// One step with the gradients now in `flat`, which may be scaled by it. `average`: flat weights,
  /// or undefined. Returns the norm of the weights after it. Shapes: → scalar, float64.
  [[nodiscard]] at::Tensor update(FlatParameters& flat, const at::Tensor& average,
                                  const DeviceStep& step);
  [[nodiscard]] const std::vector<Moment>& moments() const override { return moments_; }
  [[nodiscard]] at::Tensor& steps() override { return steps_; }

 private:
  void change_weights(const FlatParameters& flat, const DeviceStep& step, const at::Tensor& found);
  OptimizerConfig config_;
  std::vector<Moment> moments_;
  at::Tensor steps_;
};

/// Euclidean norm, summed in double. Shapes: flat, on a device → scalar, float64, there.
[[nodiscard]] at::Tensor norm_on_device(const at::Tensor& flat);

}  // namespace atelier::engine
