// The training loop that one writes without an engine: autograd, PyTorch's fused Adam over the list
// of parameters, a weight average beside it; no ranks, no checks, no flat buffers. What the engine
// adds must not cost anything against it. Thread safety: one thread.
#pragma once

#include <vector>

#include <torch/torch.h>

#include "trainer/engine/engine.h"
#include "trainer/objectives/objective.h"

namespace atelier::bench {

class BareLoop {
 public:
  /// Lifetime: `objective` and `comm`, a rank alone, outlive it.
  BareLoop(objectives::Objective& objective, comm::Comm& comm,
           const engine::OptimizerConfig& optimizer, engine::Precision precision);

  /// Requires: a constant learning rate, Adam, no accumulation.
  void step(const engine::MicroBatch& batch);

 private:
  struct Trained {
    objectives::NamedNet named;
    std::vector<at::Tensor> weights, first_moments, second_moments, steps, averages;
  };
  void update(Trained& net);

  objectives::Objective* objective_;
  parallel::BatchReducer reducer_;
  engine::OptimizerConfig optimizer_;
  bool bfloat16_;
  std::vector<Trained> nets_;
};

}  // namespace atelier::bench
