// Batch normalisation in training on a device: LibTorch's own for the images of one rank; over all
// ranks from its kernels, with the statistics summed in between. Nothing here waits for the device.
// Thread safety: one thread, that of the communicator.
#pragma once

#include <torch/torch.h>

#include "trainer/parallel/batch_reducer.h"

namespace atelier::networks {

struct NormParameters {
  const at::Tensor& weight;
  const at::Tensor& bias;
  const at::Tensor& mean;  ///< running, moved towards the batch's
  const at::Tensor& var;
};

/// `batch`: null for this rank's images alone. Shapes: [N, C, H, W] → the same.
/// Collective over `batch`.
[[nodiscard]] at::Tensor normalize_on_device(const parallel::BatchReducer* batch,
                                             const at::Tensor& x_NCHW,
                                             const NormParameters& parameters);

}  // namespace atelier::networks
