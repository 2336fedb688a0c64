#include "launch/comm/reduce.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "launch/base/bfloat16.h"
#include "launch/base/clones.h"
#include "launch/base/error.h"

#define ATELIER_INLINE __attribute__((always_inline)) inline

namespace atelier::comm {
namespace {

constexpr std::size_t kBlock = 2048;  ///< elements that stay in the first-level cache

template <ReduceOp op, typename T>
ATELIER_INLINE T combine(T left, T right) {
  if constexpr (op == ReduceOp::kSum) {
    return static_cast<T>(left + right);
  } else {
    const bool better = op == ReduceOp::kMin ? right < left : right > left;
    return better || right != right ? right : left;  // the second term: NaN
  }
}

template <ReduceOp op, typename T>
ATELIER_INLINE void pair(T* out, const T* left, const T* right, std::size_t count) {
  // `out` is `left` or `right` itself, or apart from both.
#pragma GCC ivdep  // NOLINT(clang-diagnostic-unknown-pragmas): g++ knows it
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = combine<op>(left[i], right[i]);
  }
}

/// Block by block through a scratch block, since `out` may be any of the inputs.
template <ReduceOp op, typename T>
ATELIER_INLINE void fold(void* out, std::span<const std::byte* const> inputs, std::size_t count) {
  auto* const result = static_cast<T*>(out);
  const auto input = [&](std::size_t rank) { return reinterpret_cast<const T*>(inputs[rank]); };
  if (inputs.size() == 2) {
    return pair<op>(result, input(0), input(1), count);
  }
  std::array<T, kBlock> sum;
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t size = std::min(kBlock, count - begin);
    std::copy_n(input(0) + begin, size, sum.data());
    for (std::size_t rank = 1; rank < inputs.size(); ++rank) {
      pair<op>(sum.data(), sum.data(), input(rank) + begin, size);
    }
    std::copy_n(sum.data(), size, result + begin);
  }
}

template <ReduceOp op>
ATELIER_INLINE void fold_bfloat16(void* out, std::span<const std::byte* const> inputs,
                                  std::size_t count) {
  auto* const result = static_cast<std::uint16_t*>(out);
  std::array<float, kBlock> sum;
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t size = std::min(kBlock, count - begin);
    for (std::size_t rank = 0; rank < inputs.size(); ++rank) {
      const auto* const input = reinterpret_cast<const std::uint16_t*>(inputs[rank]) + begin;
      for (std::size_t i = 0; i < size; ++i) {
        const float value = from_bfloat16(input[i]);
        sum[i] = rank == 0 ? value : combine<op>(sum[i], value);
      }
    }
    for (std::size_t i = 0; i < size; ++i) {
      result[begin + i] = to_bfloat16(sum[i]);
    }
  }
}

template <ReduceOp op>
ATELIER_INLINE void fold_any(void* out, std::span<const std::byte* const> inputs, std::size_t count,
                             DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return fold<op, float>(out, inputs, count);
    case DType::kFloat64:
      return fold<op, double>(out, inputs, count);
    case DType::kBFloat16:
      return fold_bfloat16<op>(out, inputs, count);
    case DType::kInt64:  // sums wrap around as unsigned numbers do
      return op == ReduceOp::kSum ? fold<op, std::uint64_t>(out, inputs, count)
                                  : fold<op, std::int64_t>(out, inputs, count);
    case DType::kUInt8:
      return fold<op, std::uint8_t>(out, inputs, count);
  }
}

}  // namespace

ATELIER_CLONES void reduce_into(void* out, std::span<const std::byte* const> inputs,
                                std::size_t count, DType dtype, ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return fold_any<ReduceOp::kSum>(out, inputs, count, dtype);
    case ReduceOp::kMin:
      return fold_any<ReduceOp::kMin>(out, inputs, count, dtype);
    case ReduceOp::kMax:
      return fold_any<ReduceOp::kMax>(out, inputs, count, dtype);
  }
}

}  // namespace atelier::comm
