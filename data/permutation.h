// Keyed permutations of 0 … n − 1, computed one value at a time, with no table: a Feistel network
// over the least power of two ≥ n, whose results outside are permuted again until inside ("cycle
// walking", Black and Rogaway, CT-RSA 2002). Values are part of the resume promise.
// Thread safety: immutable.
#pragma once

#include <cstdint>
#include <span>

namespace atelier::data {

/// `parts` mixed into `key`, one after the other.
[[nodiscard]] std::uint64_t mixed_key(std::uint64_t key, std::span<const std::uint64_t> parts);

class Permutation {
 public:
  /// Requires: 1 ≤ n ≤ 2^48.
  explicit Permutation(std::uint64_t n);

  [[nodiscard]] std::uint64_t size() const { return n_; }
  /// Requires: value < size().
  [[nodiscard]] std::uint64_t operator()(std::uint64_t key, std::uint64_t value) const;
  /// What operator() takes to `value`. Requires: value < size().
  [[nodiscard]] std::uint64_t inverse(std::uint64_t key, std::uint64_t value) const;
  /// operator() of each of `values`, in place, under one key or under a key each: many at once take
  /// a fraction of the time.
  void apply(std::span<const std::uint64_t> keys, std::span<std::uint64_t> values) const;

 private:
  class Lot;
  std::uint64_t n_;
  unsigned low_bits_;
  unsigned high_bits_;
  unsigned rounds_;  ///< even: the halves end as they began
};

}  // namespace atelier::data
