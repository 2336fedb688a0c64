#include "trainer/engine/update_loops.h"

#include <array>
#include <cmath>
#include <cstddef>

#include "launch/base/bfloat16.h"
#include "launch/base/clones.h"

#define ATELIER_INLINE __attribute__((always_inline)) inline

namespace atelier::engine {
namespace {

constexpr std::size_t kLanes = 16;

/// from + step (to - from), in the form that is exact at the nearer end. `rest`: 1 - step.
template <bool near_from, typename T>
ATELIER_INLINE T mix(T from, T to, T step, T rest) {
  return near_from ? from + step * (to - from) : to - rest * (to - from);
}

/// Runs `weight_of`, which updates element i and gives its new weight, and the average after it.
template <typename T, typename WeightOf>
ATELIER_INLINE void for_each(std::int64_t count, T* __restrict average, double average_step,
                             WeightOf weight_of) {
  const auto step = static_cast<T>(average_step);
  const auto rest = static_cast<T>(1.0 - average_step);
  if (average == nullptr) {
    for (std::int64_t i = 0; i < count; ++i) weight_of(i);
  } else if (average_step < 0.5) {
    for (std::int64_t i = 0; i < count; ++i) {
      average[i] = mix<true>(average[i], weight_of(i), step, rest);
    }
  } else {
    for (std::int64_t i = 0; i < count; ++i) {
      average[i] = mix<false>(average[i], weight_of(i), step, rest);
    }
  }
}

template <bool slow_moment, typename T>
ATELIER_INLINE void adam(const AdamUpdate& rule, const AdamMemory<T>& memory) {
  T* __restrict weights = memory.weights;
  const T* __restrict gradients = memory.gradients;
  T* __restrict first_moment = memory.first_moment;
  T* __restrict second_moment = memory.second_moment;
  const auto scale = static_cast<T>(rule.common.gradient_scale);
  const auto decay = static_cast<T>(rule.decoupled ? 0.0 : rule.weight_decay);
  const auto shrink =
      static_cast<T>(rule.decoupled ? 1.0 - rule.learning_rate * rule.weight_decay : 1.0);
  const auto first_step = static_cast<T>(1.0 - rule.beta1);
  const T first_rest = 1 - first_step;
  const auto beta2 = static_cast<T>(rule.beta2);
  const auto second_step = static_cast<T>(1.0 - rule.beta2);
  const auto epsilon = static_cast<T>(rule.epsilon);
  const auto step = static_cast<double>(rule.step);
  const auto step_size = static_cast<T>(rule.learning_rate / (1.0 - std::pow(rule.beta1, step)));
  const auto root_correction = static_cast<T>(std::sqrt(1.0 - std::pow(rule.beta2, step)));
  for_each(memory.count, memory.average, rule.common.average_step, [&](std::int64_t i) {
    const T old = weights[i] * shrink;
    const T gradient = gradients[i] * scale + old * decay;
    const T m = mix<slow_moment>(first_moment[i], gradient, first_step, first_rest);
    const T v = second_moment[i] * beta2 + second_step * gradient * gradient;
    const T weight = old - step_size * m / (std::sqrt(v) / root_correction + epsilon);
    first_moment[i] = m;
    second_moment[i] = v;
    weights[i] = weight;
    return weight;
  });
}

template <typename T>
ATELIER_INLINE void adam(const AdamUpdate& rule, const AdamMemory<T>& memory) {
  rule.beta1 > 0.5 ? adam<true>(rule, memory) : adam<false>(rule, memory);
}

template <typename T>
ATELIER_INLINE void sgd(const SgdUpdate& rule, const SgdMemory<T>& memory) {
  T* __restrict weights = memory.weights;
  const T* __restrict gradients = memory.gradients;
  T* __restrict velocity = memory.velocity;
  const auto scale = static_cast<T>(rule.common.gradient_scale);
  const auto decay = static_cast<T>(rule.weight_decay);
  const auto momentum = static_cast<T>(rule.momentum);
  const auto rate = static_cast<T>(rule.learning_rate);
  for_each(memory.count, memory.average, rule.common.average_step, [&](std::int64_t i) {
    const T gradient = gradients[i] * scale + weights[i] * decay;
    const T v = velocity[i] * momentum + gradient;
    const T weight = weights[i] - rate * v;
    velocity[i] = v;
    weights[i] = weight;
    return weight;
  });
}

template <typename T>
ATELIER_INLINE double squares(const T* values, std::int64_t count) {
  std::array<T, kLanes> lanes{};  // a fixed order of summation that vectors of any width can follow
  const auto whole = static_cast<std::size_t>(count) / kLanes * kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] += values[i + lane] * values[i + lane];
    }
  }
  for (std::size_t i = whole; i < static_cast<std::size_t>(count); ++i) {
    lanes[i - whole] += values[i] * values[i];
  }
  double sum = 0;
  for (const T lane : lanes) sum += static_cast<double>(lane);
  return sum;
}

}  // namespace

template <>
ATELIER_CLONES void update(const AdamUpdate& rule, const AdamMemory<float>& memory) {
  adam(rule, memory);
}
template <>
ATELIER_CLONES void update(const AdamUpdate& rule, const AdamMemory<double>& memory) {
  adam(rule, memory);
}
template <>
ATELIER_CLONES void update(const SgdUpdate& rule, const SgdMemory<float>& memory) {
  sgd(rule, memory);
}
template <>
ATELIER_CLONES void update(const SgdUpdate& rule, const SgdMemory<double>& memory) {
  sgd(rule, memory);
}
ATELIER_CLONES void round_to_bfloat16(const float* __restrict values,
                                      std::uint16_t* __restrict rounded, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) rounded[i] = to_bfloat16(values[i]);
}
template <>
ATELIER_CLONES double sum_of_squares(const float* values, std::int64_t count) {
  return squares(values, count);
}
template <>
ATELIER_CLONES double sum_of_squares(const double* values, std::int64_t count) {
  return squares(values, count);
}

}  // namespace atelier::engine
