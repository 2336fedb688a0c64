// Batch normalisation's backward as a formula that autograd can differentiate again, and what all
// its forms share. Thread safety: pure functions; collectives are the communicator's thread's.
#pragma once

#include <array>
#include <cstdint>

#include <torch/torch.h>

#include "trainer/parallel/batch_reducer.h"

namespace atelier::networks {

inline constexpr double kNormEpsilon = 1e-5;
inline constexpr double kNormMomentum = 0.1;
inline constexpr std::array<std::int64_t, 3> kAllButChannels{0, 2, 3};

[[nodiscard]] inline at::Tensor per_channel(const at::Tensor& values_C) {
  return values_C.view({1, -1, 1, 1});
}

struct NormGradients {
  at::Tensor x_NCHW, weight_C, bias_C;
};

/// With mean and variance as functions of x. `batch`: null for this rank's images alone. Shapes:
/// `count`, values per channel in the whole batch, is a scalar. Collective over `batch`.
[[nodiscard]] NormGradients differentiable_backward(const parallel::BatchReducer* batch,
                                                    const at::Tensor& gradient_NCHW,
                                                    const at::Tensor& x_NCHW,
                                                    const at::Tensor& weight,
                                                    const at::Tensor& count);

}  // namespace atelier::networks
