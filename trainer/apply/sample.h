// New images from a trained VAE or GAN. Thread safety: one thread.
#pragma once

#include <cstdint>

#include <torch/torch.h>

#include "trainer/apply/model.h"

namespace atelier::apply {

/// Image i is a function of (model, seed, i) alone. Shapes: → [count, C, H, W], about [-1, 1].
/// Throws: RefusedError for a model that makes no samples.
[[nodiscard]] at::Tensor sample(Model& model, std::int64_t count, std::uint64_t seed);

}  // namespace atelier::apply
