// Euclidean distances between rows of matrices, in tiles, so that memory stays at a few MiB
// whatever the number of rows. Squared distances come from one matrix product,
// |a|² + |b|² - 2ab, after a common centre has been taken away; pairs nearer than 1/700 of their
// norms count as equal, which is below what single precision can tell apart. Nearest distances are
// taken anew by subtraction where that formula would lose digits, so copies are found exactly.
// Deterministic for a fixed number of threads. Thread safety: pure functions.
#pragma once

#include <cstdint>

#include <torch/torch.h>

namespace atelier::quality {

/// Rows [begin, end) of a matrix: one rank's part of a shared job.
struct RowRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  [[nodiscard]] std::int64_t size() const { return end - begin; }
};

/// The distances of some rows of x to all other rows of x.
struct PairwisePart {
  double sum = 0.0;       ///< over all pairs (i, j), i in the range, j != i
  torch::Tensor nearest;  ///< distance to the nearest other row; [range] float32
};

/// Shapes: x [N,D] float32, N >= 2; range within [0,N].
[[nodiscard]] PairwisePart pairwise_distances(const torch::Tensor& x, RowRange rows);

/// Mean over i != j of |x_i - x_j|. Shapes: [N,D] float32, N >= 2.
[[nodiscard]] double mean_pairwise_distance(const torch::Tensor& x);

/// For each row of a the distance to the nearest row of b, and the other way round.
struct NearestDistances {
  torch::Tensor a_to_b;  ///< [N] float32
  torch::Tensor b_to_a;  ///< [M] float32
};

/// Both directions from one matrix product. Shapes: a [N,D], b [M,D] float32, N, M >= 1.
/// Cost: 2·N·M·D operations.
[[nodiscard]] NearestDistances nearest_distances(const torch::Tensor& a, const torch::Tensor& b);

/// Gathers nearest distances between fixed rows `a` and rows `b` that come in blocks.
class NearestSearch {
 public:
  /// Lifetime: shares the memory of `a` and `centre`. Shapes: a [N,D], centre [D], float32.
  NearestSearch(const torch::Tensor& a, torch::Tensor centre);
  /// Takes the next rows of b and gives their distances to the nearest row of a.
  /// Shapes: [M,D] float32 → [M] float32.
  [[nodiscard]] torch::Tensor add(const torch::Tensor& b);
  /// Distance from each row of a to the nearest b so far; infinity before the first.
  [[nodiscard]] const torch::Tensor& a_to_b() const { return a_to_b_; }

 private:
  torch::Tensor centre_;
  torch::Tensor a_;       ///< centred, [N,D]
  torch::Tensor a_norm_;  ///< squared, [N]
  torch::Tensor a_to_b_;  ///< [N]
};

/// Share of values at or below `threshold`: with nearest distances within one set, the rate of
/// near-duplicates. Shapes: [N]. An empty tensor gives 0.
[[nodiscard]] double share_within(const torch::Tensor& distances, double threshold);

}  // namespace atelier::quality
