// Batch normalisation (Ioffe and Szegedy 2015, algorithm 1) over the images of all ranks or of one.
// Over all ranks it is differentiable twice, as gradient penalties need it, and P ranks compute
// what one rank computes with the whole batch. Thread safety: one thread, that of the communicator.
#pragma once

#include <cstdint>

#include <torch/torch.h>

#include "trainer/parallel/batch_reducer.h"

namespace atelier::networks {

/// y = weight (x - mean) / sqrt(var + 1e-5) + bias, by channel. In training, mean and (biased)
/// variance are those of the batch, and the running ones move by a tenth towards them (the variance
/// unbiased), as in PyTorch; otherwise they are the running ones. These are parameters that nothing
/// trains, so that they lie with the weights wherever weights are kept, copied or compared.
class BatchNorm final : public torch::nn::Module {
 public:
  explicit BatchNorm(std::int64_t channels);

  /// Shapes: [N, C, H, W] → the same. Collective while training over all ranks.
  [[nodiscard]] at::Tensor forward(const at::Tensor& x_NCHW);

  /// Statistics over all ranks of `batch`; null, as at first: over this rank's images.
  /// Lifetime: `batch` outlives the layer or the next call.
  void share(const parallel::BatchReducer* batch) { batch_ = batch; }

 private:
  [[nodiscard]] at::Tensor over_batch(const at::Tensor& x_NCHW);

  at::Tensor weight_, bias_, running_mean_, running_var_;
  const parallel::BatchReducer* batch_ = nullptr;
};

/// Tells `net`, if it is one, and every BatchNorm below. Returns how many there are.
int share_batch_statistics(torch::nn::Module& net, const parallel::BatchReducer* batch);

}  // namespace atelier::networks
