// The arithmetic of batch normalisation as loops over plain memory, for images whose channels lie
// next to one another (channels_last). Sums are taken in blocks of rows, in single precision within
// a short block and in double over blocks: the same bits on every processor. No torch here.
// Thread safety: pure functions; different rows may be worked on at the same time.
#pragma once

#include <cstdint>

namespace atelier::networks {

/// A bfloat16 as its bits.
struct BFloat16 {
  std::uint16_t bits;
};

/// float for BFloat16 and float, double for double.
template <typename T>
struct WideOf {
  using Type = T;
};
template <>
struct WideOf<BFloat16> {
  using Type = float;
};
template <typename T>
using Wide = typename WideOf<T>::Type;

/// Rows of channels. T: BFloat16, float or double.
template <typename T>
struct Rows {
  const T* values;  ///< [count, channels]
  std::int64_t count;
  std::int64_t channels;
};

/// Adds to `sums` and `squares` [channels] the sums of x - shift and of its square.
template <typename T>
void add_moments(const Rows<T>& x, const Wide<T>* shift, double* sums, double* squares);

/// Adds to `sums` and `products` [channels] the sums of g and of g (x - mean). Requires: g and x of
/// one size.
template <typename T>
void add_products(const Rows<T>& g, const T* x, const Wide<T>* mean, double* sums,
                  double* products);

/// out = x slope + level, by channel.
template <typename T>
void scale_rows(const Rows<T>& x, const Wide<T>* slope, const Wide<T>* level, T* out);

/// out = g g_slope + x x_slope + level, by channel. Requires: g and x of one size.
template <typename T>
void mix_rows(const Rows<T>& g, const T* x, const Wide<T>* g_slope, const Wide<T>* x_slope,
              const Wide<T>* level, T* out);

}  // namespace atelier::networks
