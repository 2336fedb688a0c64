// What a step of training is given. Thread safety: values.
#pragma once

#include <span>

#include <torch/torch.h>

#include "trainer/objectives/objective.h"

namespace atelier::engine {

/// Images that pass through the nets at once. Statistics of the batch (an optimal sigma, batch
/// normalisation) are those of one micro-batch over all ranks.
struct MicroBatch {
  objectives::Position position;                 ///< its global_batch: images of this micro-batch
  std::span<const at::Tensor> images_NCHW = {};  ///< one per image stream of the objective
};

struct StepInput {
  /// In order; more than one where gradients are accumulated. Their losses are averaged: all are of
  /// one size.
  std::span<const MicroBatch> micro_batches = {};
  double images_before = 0;  ///< images seen before this step, for schedules
  double images_total = 0;
  std::span<const double> flags = {};  ///< summed over ranks
  bool read =
      true;  ///< losses and norms are wanted; on hosts they always come. The same on all ranks

  /// Of the step, over all ranks.
  [[nodiscard]] double images() const {
    double sum = 0;
    for (const MicroBatch& batch : micro_batches) {
      sum += static_cast<double>(batch.position.global_batch);
    }
    return sum;
  }
};

}  // namespace atelier::engine
