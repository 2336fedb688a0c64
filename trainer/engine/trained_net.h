// A net together with all that training keeps for it: flat weights and gradients, Adam's moments
// (Kingma and Ba 2015), and the weight average. Adam runs as ATen's fused kernel on the one flat
// tensor. Thread safety: one thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "trainer/engine/config.h"
#include "trainer/engine/flat_parameters.h"
#include "trainer/engine/gradient_buckets.h"
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
             std::int64_t bucket_bytes);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] FlatParameters& flat() { return flat_; }
  [[nodiscard]] const FlatParameters& flat() const { return flat_; }
  [[nodiscard]] GradientBuckets& gradients() { return gradients_; }
  [[nodiscard]] bool averaged() const { return average_.defined(); }

  /// One Adam step with the gradients now in the flat buffer, then the average.
  void update(const OptimizerConfig& config, double learning_rate, double decay);

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

  std::string name_;
  FlatParameters flat_;
  GradientBuckets gradients_;
  at::Tensor first_moment_;
  at::Tensor second_moment_;
  at::Tensor average_;
  at::Tensor steps_;  ///< int64 [1]
};

/// While it lives, the averaged nets compute with their averages. Not during a step.
class AverageScope {
 public:
  explicit AverageScope(std::vector<std::unique_ptr<TrainedNet>>& nets);
  ~AverageScope();
  AverageScope(const AverageScope&) = delete;
  AverageScope& operator=(const AverageScope&) = delete;

 private:
  void swap_all();
  std::vector<std::unique_ptr<TrainedNet>>* nets_;
};

}  // namespace atelier::engine
