// A net together with all that training keeps for it: flat weights and gradients, the optimizer
// with its moments, and the weight average. Thread safety: one thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "trainer/engine/config.h"
#include "trainer/engine/device_optimizer.h"
#include "trainer/engine/flat_parameters.h"
#include "trainer/engine/gradient_buckets.h"
#include "trainer/engine/optimizer.h"
#include "trainer/objectives/objective.h"

namespace atelier::engine {

/// A tensor of the state, by the name it has in checkpoints. `value` is a view: writing to it
/// changes the state.
struct StateTensor {
  std::string name;
  at::Tensor value;
};

class TrainedNet {
 public:
  /// Lifetime: `comm` outlives it. Collective: all ranks.
  TrainedNet(const objectives::NamedNet& named, at::ScalarType type, comm::Comm& comm,
             const OptimizerConfig& config);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] FlatParameters& flat() { return flat_; }
  [[nodiscard]] const FlatParameters& flat() const { return flat_; }
  [[nodiscard]] GradientBuckets& gradients() { return gradients_; }
  [[nodiscard]] bool averaged() const { return average_.defined(); }

  /// Learning rate of this net before any schedule.
  [[nodiscard]] double learning_rate() const { return config_.learning_rate; }
  /// One step with the gradients now in the flat buffer, whose norm is `gradient_norm`: clips,
  /// updates the weights and moves the average, which keeps `average_decay` of itself. Returns the
  /// norm of the new weights.
  /// Requires: a net on the host.
  double update(double learning_rate, double gradient_norm, double average_decay);
  /// The same for a net on a device. Shapes: → scalar, float64, there.
  [[nodiscard]] at::Tensor update(const DeviceStep& step);
  /// The average has no running statistics of its own: it takes those of the weights.
  void copy_frozen_to_average();

  [[nodiscard]] std::vector<StateTensor> weight_state() const;
  [[nodiscard]] std::vector<StateTensor> average_state() const;  ///< empty unless averaged
  [[nodiscard]] std::vector<StateTensor> optimizer_state() const;

  /// Copy of everything above, and its return.
  struct Snapshot {
    std::vector<at::Tensor> tensors;
  };
  [[nodiscard]] Snapshot snapshot() const;
  void restore(const Snapshot& snapshot);

  /// Exchanges weights and average; called in pairs by AverageScope.
  void swap_average();

 private:
  /// Views of the first `slots` slots.
  [[nodiscard]] std::vector<StateTensor> named_views(const at::Tensor& flat,
                                                     const std::string& prefix,
                                                     std::size_t slots) const;
  [[nodiscard]] std::vector<at::Tensor> everything() const;
  [[nodiscard]] Optimizer& optimizer() const;

  std::string name_;
  FlatParameters flat_;
  GradientBuckets gradients_;
  OptimizerConfig config_;
  std::unique_ptr<HostOptimizer> on_host_;  ///< one of the two
  std::unique_ptr<DeviceOptimizer> on_device_;
  at::Tensor average_;
};

/// While it lives, the averaged nets compute with their averages, all nets in the type of their
/// weights. Not during a step. Afterwards all lies where it lay: a device may have recorded that.
class AverageScope {
 public:
  explicit AverageScope(std::vector<std::unique_ptr<TrainedNet>>& nets);
  ~AverageScope();
  AverageScope(const AverageScope&) = delete;
  AverageScope& operator=(const AverageScope&) = delete;

 private:
  void swap_all();
  std::vector<std::unique_ptr<TrainedNet>>* nets_;
  std::vector<at::ScalarType> computed_in_;
  std::vector<at::Tensor> rounded_;
};

}  // namespace atelier::engine
