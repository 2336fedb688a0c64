#include "trainer/quality/distances.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "launch/base/error.h"

namespace atelier::quality {
namespace {

constexpr std::int64_t kTileRows = 512;
// Squared distances are wrong by a few float32 epsilons of the squared norms: below kZero of them
// nothing is left, below kRefine of them the fourth digit is in doubt.
constexpr double kZero = 2e-6;
constexpr double kRefine = 2e-3;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

void check_rows(const torch::Tensor& x, std::int64_t least) {
  ATELIER_CHECK(x.dim() == 2 && x.scalar_type() == torch::kFloat32 && x.device().is_cpu(),
                "rows are a float32 matrix on the CPU");
  ATELIER_CHECK(x.size(0) >= least, "too few rows to measure distances");
}

torch::Tensor squared_norms(const torch::Tensor& x) { return x.square().sum(1); }

// A tile of centred rows with the squares that its distances need.
struct Tile {
  torch::Tensor rows;
  torch::Tensor norms;
};

// [n,m] squared distances; `scale` holds |a|² + |b|².
struct TileDistances {
  torch::Tensor squared;
  torch::Tensor scale;
};

TileDistances squared_distances(const Tile& a, const Tile& b) {
  auto scale = a.norms.unsqueeze(1) + b.norms.unsqueeze(0);
  auto squared = torch::addmm(scale, a.rows, b.rows.t(), /*beta=*/1, /*alpha=*/-2);
  squared.masked_fill_(squared < scale * kZero, 0.0);
  return {std::move(squared), std::move(scale)};
}

// The least distance along `dim`, taken anew by subtraction where cancellation has eaten digits.
// `queries` are the rows that the result belongs to, `others` those along `dim`.
torch::Tensor least(const TileDistances& tile, std::int64_t dim, const torch::Tensor& queries,
                    const torch::Tensor& others) {
  auto [squared, index] = tile.squared.min(dim);
  const auto scale = tile.scale.gather(dim, index.unsqueeze(dim)).squeeze(dim);
  const auto doubtful = (squared < scale * kRefine).nonzero().squeeze(1);
  for (std::int64_t begin = 0; begin < doubtful.size(0); begin += kTileRows) {
    const auto which = doubtful.slice(0, begin, begin + kTileRows);
    const auto difference =
        queries.index_select(0, which) - others.index_select(0, index.index_select(0, which));
    squared.index_copy_(0, which, squared_norms(difference));
  }
  return squared.sqrt_();
}

}  // namespace

PairwisePart pairwise_distances(const torch::Tensor& x, RowRange rows) {
  check_rows(x, 2);
  ATELIER_CHECK(0 <= rows.begin && rows.begin <= rows.end && rows.end <= x.size(0),
                "row range outside of the matrix");
  const torch::Tensor centred = x - x.mean(0);
  const torch::Tensor norms = squared_norms(centred);
  PairwisePart part{0.0, torch::full({rows.size()}, kInfinity)};
  for (std::int64_t i = rows.begin; i < rows.end; i += kTileRows) {
    const auto i_end = std::min(i + kTileRows, rows.end);
    const Tile a{centred.slice(0, i, i_end), norms.slice(0, i, i_end)};
    auto nearest = part.nearest.slice(0, i - rows.begin, i_end - rows.begin);
    for (std::int64_t j = 0; j < x.size(0); j += kTileRows) {
      const auto j_end = std::min(j + kTileRows, x.size(0));
      const Tile b{centred.slice(0, j, j_end), norms.slice(0, j, j_end)};
      auto tile = squared_distances(a, b);
      // Each row meets itself on a diagonal of the tile; it counts neither in sum nor in minimum.
      const auto self =
          torch::arange(std::max(i, j), std::max({i, j, std::min(i_end, j_end)}), torch::kInt64);
      tile.squared.index_put_({self - i, self - j}, 0.0);
      part.sum += tile.squared.sqrt().sum(torch::kFloat64).item<double>();
      tile.squared.index_put_({self - i, self - j}, kInfinity);
      nearest.copy_(torch::minimum(nearest, least(tile, 1, a.rows, b.rows)));
    }
  }
  return part;
}

double mean_pairwise_distance(const torch::Tensor& x) {
  const auto n = static_cast<double>(x.size(0));
  return pairwise_distances(x, {0, x.size(0)}).sum / (n * (n - 1.0));
}

NearestSearch::NearestSearch(const torch::Tensor& a, torch::Tensor centre)
    : centre_(std::move(centre)) {
  check_rows(a, 1);
  a_ = a - centre_;
  a_norm_ = squared_norms(a_);
  a_to_b_ = torch::full({a.size(0)}, kInfinity);
}

torch::Tensor NearestSearch::add(const torch::Tensor& b) {
  check_rows(b, 0);
  auto b_to_a = torch::full({b.size(0)}, kInfinity);
  for (std::int64_t j = 0; j < b.size(0); j += kTileRows) {
    const auto j_end = std::min(j + kTileRows, b.size(0));
    const torch::Tensor rows = b.slice(0, j, j_end) - centre_;
    const Tile b_tile{rows, squared_norms(rows)};
    auto nearest = b_to_a.slice(0, j, j_end);
    for (std::int64_t i = 0; i < a_.size(0); i += kTileRows) {
      const auto i_end = std::min(i + kTileRows, a_.size(0));
      const Tile a_tile{a_.slice(0, i, i_end), a_norm_.slice(0, i, i_end)};
      const auto tile = squared_distances(b_tile, a_tile);
      nearest.copy_(torch::minimum(nearest, least(tile, 1, b_tile.rows, a_tile.rows)));
      auto of_a = a_to_b_.slice(0, i, i_end);
      of_a.copy_(torch::minimum(of_a, least(tile, 0, a_tile.rows, b_tile.rows)));
    }
  }
  return b_to_a;
}

NearestDistances nearest_distances(const torch::Tensor& a, const torch::Tensor& b) {
  check_rows(a, 1);
  check_rows(b, 1);
  NearestSearch search(a, b.mean(0));
  auto b_to_a = search.add(b);
  return {search.a_to_b(), std::move(b_to_a)};
}

double share_within(const torch::Tensor& distances, double threshold) {
  const auto count = distances.numel();
  return count == 0 ? 0.0
                    : static_cast<double>((distances <= threshold).sum().item<std::int64_t>()) /
                          static_cast<double>(count);
}

}  // namespace atelier::quality
