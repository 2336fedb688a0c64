#include "trainer/networks/channel_loops.h"

#include <algorithm>
#include <vector>

#include "launch/base/bfloat16.h"
#include "launch/base/clones.h"

#define ATELIER_INLINE __attribute__((always_inline)) inline

namespace atelier::networks {
namespace {

constexpr std::int64_t kShortBlock = 32;  // rows that are summed in single precision

ATELIER_INLINE float wide(BFloat16 value) { return from_bfloat16(value.bits); }
ATELIER_INLINE float wide(float value) { return value; }
ATELIER_INLINE double wide(double value) { return value; }

ATELIER_INLINE void put(float value, BFloat16& out) { out.bits = to_bfloat16(value); }
ATELIER_INLINE void put(float value, float& out) { out = value; }
ATELIER_INLINE void put(double value, double& out) { out = value; }

/// Adds two values of each element, which `pair_of` gives, to two sums per channel.
template <typename T, typename PairOf>
ATELIER_INLINE void add_pairs(std::int64_t rows, std::int64_t channels, double* __restrict first,
                              double* __restrict second, PairOf pair_of) {
  std::vector<T> short_sums(static_cast<std::size_t>(2 * channels));
  T* __restrict a = short_sums.data();
  T* __restrict b = a + channels;
  for (std::int64_t begin = 0; begin < rows; begin += kShortBlock) {
    std::fill(short_sums.begin(), short_sums.end(), T{0});
    const std::int64_t end = std::min(rows, begin + kShortBlock);
    for (std::int64_t row = begin; row < end; ++row) {
      for (std::int64_t c = 0; c < channels; ++c) pair_of(row * channels + c, c, a[c], b[c]);
    }
    for (std::int64_t c = 0; c < channels; ++c) {
      first[c] += static_cast<double>(a[c]);
      second[c] += static_cast<double>(b[c]);
    }
  }
}

template <typename T>
ATELIER_INLINE void moments(const Rows<T>& x, const Wide<T>* __restrict shift, double* sums,
                            double* squares) {
  const T* __restrict values = x.values;
  add_pairs<Wide<T>>(x.count, x.channels, sums, squares,
                     [=](std::int64_t i, std::int64_t c, Wide<T>& sum, Wide<T>& square) {
                       const Wide<T> apart = wide(values[i]) - shift[c];
                       sum += apart;
                       square += apart * apart;
                     });
}

template <typename T>
ATELIER_INLINE void products(const Rows<T>& g, const T* __restrict x,
                             const Wide<T>* __restrict mean, double* sums, double* of_both) {
  const T* __restrict gradients = g.values;
  add_pairs<Wide<T>>(g.count, g.channels, sums, of_both,
                     [=](std::int64_t i, std::int64_t c, Wide<T>& sum, Wide<T>& product) {
                       const Wide<T> gradient = wide(gradients[i]);
                       sum += gradient;
                       product += gradient * (wide(x[i]) - mean[c]);
                     });
}

template <typename T>
ATELIER_INLINE void scale(const Rows<T>& x, const Wide<T>* __restrict slope,
                          const Wide<T>* __restrict level, T* __restrict out) {
  const T* __restrict values = x.values;
  for (std::int64_t row = 0; row < x.count; ++row) {
    for (std::int64_t c = 0; c < x.channels; ++c) {
      const std::int64_t i = row * x.channels + c;
      put(wide(values[i]) * slope[c] + level[c], out[i]);
    }
  }
}

template <typename T>
ATELIER_INLINE void mix(const Rows<T>& g, const T* __restrict x, const Wide<T>* __restrict g_slope,
                        const Wide<T>* __restrict x_slope, const Wide<T>* __restrict level,
                        T* __restrict out) {
  const T* __restrict gradients = g.values;
  for (std::int64_t row = 0; row < g.count; ++row) {
    for (std::int64_t c = 0; c < g.channels; ++c) {
      const std::int64_t i = row * g.channels + c;
      put(wide(gradients[i]) * g_slope[c] + wide(x[i]) * x_slope[c] + level[c], out[i]);
    }
  }
}

}  // namespace

#define ATELIER_CHANNEL_LOOPS(T)                                                               \
  template <>                                                                                  \
  ATELIER_CLONES void add_moments(const Rows<T>& x, const Wide<T>* shift, double* sums,        \
                                  double* squares) {                                           \
    moments(x, shift, sums, squares);                                                          \
  }                                                                                            \
  template <>                                                                                  \
  ATELIER_CLONES void add_products(const Rows<T>& g, const T* x, const Wide<T>* mean,          \
                                   double* sums, double* of_both) {                            \
    products(g, x, mean, sums, of_both);                                                       \
  }                                                                                            \
  template <>                                                                                  \
  ATELIER_CLONES void scale_rows(const Rows<T>& x, const Wide<T>* slope, const Wide<T>* level, \
                                 T* out) {                                                     \
    scale(x, slope, level, out);                                                               \
  }                                                                                            \
  template <>                                                                                  \
  ATELIER_CLONES void mix_rows(const Rows<T>& g, const T* x, const Wide<T>* g_slope,           \
                               const Wide<T>* x_slope, const Wide<T>* level, T* out) {         \
    mix(g, x, g_slope, x_slope, level, out);                                                   \
  }

ATELIER_CHANNEL_LOOPS(BFloat16)
ATELIER_CHANNEL_LOOPS(float)
ATELIER_CHANNEL_LOOPS(double)
#undef ATELIER_CHANNEL_LOOPS

}  // namespace atelier::networks
