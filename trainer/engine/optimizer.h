// The rule by which gradients change weights. An optimizer owns its moments, flat tensors in the
// layout of the gradients. On hosts it updates all trained weights and the average in one pass over
// memory (update_loops.h), shared out among the compute threads; device_optimizer.h has that of
// devices. Thread safety: one thread.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include <torch/torch.h>

#include "trainer/engine/config.h"
#include "trainer/engine/flat_parameters.h"

namespace atelier::engine {

struct OptimizerStep {
  double learning_rate = 0;
  double gradient_scale = 1;  ///< clipping
  double average_decay = 1;   ///< weight of the old average
};

class Optimizer {
 public:
  struct Moment {
    std::string_view name;
    at::Tensor value;  ///< Shapes: as the flat gradients
  };

  virtual ~Optimizer() = default;
  [[nodiscard]] virtual const std::vector<Moment>& moments() const = 0;
  /// Steps done. Shapes: int64 [1].
  [[nodiscard]] virtual at::Tensor& steps() = 0;
};

class HostOptimizer : public Optimizer {
 public:
  /// One step with the gradients now in `flat`. `average`: flat weights, or undefined. Returns the
  /// norm of the new weights, read while they are in the cache.
  virtual double update(FlatParameters& flat, const at::Tensor& average,
                        const OptimizerStep& step) = 0;
};

/// Names of the moments that `kind` keeps.
[[nodiscard]] std::vector<std::string_view> moment_names(OptimizerKind kind);

[[nodiscard]] std::unique_ptr<HostOptimizer> make_optimizer(const OptimizerConfig& config,
                                                            const at::Tensor& flat_gradients);

/// Euclidean norm; the same bits for any number of threads. Shapes: flat, float or double, on a
/// CPU.
[[nodiscard]] double norm_of(const at::Tensor& flat);

}  // namespace atelier::engine
