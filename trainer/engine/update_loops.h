// The arithmetic of an optimizer step as loops over plain memory: every value is read once and
// written once. The same inputs give the same bits whatever the instruction set or the number of
// threads: no operation is contracted, and sums run over fixed blocks. Formulas and order of
// operations are those of PyTorch's fused optimizers. No torch here. Thread safety: pure functions;
// different ranges may be updated at the same time.
#pragma once

#include <cstdint>

namespace atelier::engine {

/// Elements whose squares are summed together; ranges that are updated apart begin at multiples.
inline constexpr std::int64_t kUpdateBlock = 16384;

/// What every update does besides its own rule.
struct CommonUpdate {
  double gradient_scale = 1;  ///< gradients are multiplied by it: clipping
  double average_step = 0;    ///< average += step (weight - average); 0 where there is no average
};

/// Adam (Kingma and Ba 2015, algorithm 1) and AdamW (Loshchilov and Hutter 2019, algorithm 2).
struct AdamUpdate {
  CommonUpdate common;
  double learning_rate = 0;
  double beta1 = 0;
  double beta2 = 0;
  double epsilon = 0;
  double weight_decay = 0;
  bool decoupled = false;  ///< AdamW: weights shrink by themselves, not through the gradient
  std::int64_t step = 1;   ///< counted from 1
};

/// Stochastic gradient descent with momentum, v = m v + g; w -= lr v (Sutskever et al. 2013, in the
/// form of PyTorch).
struct SgdUpdate {
  CommonUpdate common;
  double learning_rate = 0;
  double momentum = 0;
  double weight_decay = 0;
};

/// Memory of one range. `average` may be null. No two overlap.
template <typename T>
struct AdamMemory {
  T* weights;
  const T* gradients;
  T* first_moment;
  T* second_moment;
  T* average;
  std::int64_t count;
};

template <typename T>
struct SgdMemory {
  T* weights;
  const T* gradients;
  T* velocity;
  T* average;
  std::int64_t count;
};

/// One step. T: float or double.
template <typename T>
void update(const AdamUpdate& rule, const AdamMemory<T>& memory);
template <typename T>
void update(const SgdUpdate& rule, const SgdMemory<T>& memory);

/// The nearest bfloat16 of `count` values, ties to even, as bits.
void round_to_bfloat16(const float* values, std::uint16_t* rounded, std::int64_t count);

/// Sum of the squares of `count` values. Requires: count <= kUpdateBlock.
template <typename T>
[[nodiscard]] double sum_of_squares(const T* values, std::int64_t count);

}  // namespace atelier::engine
