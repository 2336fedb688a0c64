// Statistics of the global batch inside a loss. The rule that makes P ranks equal one: every rank
// computes its own share of the loss, and the loss is the sum of the shares. A term that is a mean
// over the batch sums its own images and divides by the global batch; a term made from a global
// statistic (same value on every rank) contributes share() of it. Both gradients then come out of
// one summing all-reduce. Thread safety: one thread, that of the communicator.
#pragma once

#include <torch/torch.h>

#include "launch/comm/comm.h"

namespace atelier::parallel {

class BatchReducer {
 public:
  /// Lifetime: `comm` outlives the reducer and every graph built with it.
  explicit BatchReducer(comm::Comm& comm) : comm_(&comm) {}

  /// Sum over ranks, differentiable any number of times: its backward is the same sum.
  /// Shapes: any, equal on all ranks. Collective: all ranks, forward and backward.
  [[nodiscard]] at::Tensor sum(const at::Tensor& local) const;

  /// What every rank passed, in rank order; not differentiable. Shapes: [n] → [world, n], equal on
  /// all ranks. Collective: all ranks.
  [[nodiscard]] at::Tensor gather(const at::Tensor& local) const;

  /// The part of a term that every rank holds whole: value / world.
  [[nodiscard]] at::Tensor share(const at::Tensor& replicated) const;

  [[nodiscard]] int world() const { return comm_->world(); }

 private:
  comm::Comm* comm_;
};

}  // namespace atelier::parallel
