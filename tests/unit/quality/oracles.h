// Slow, obviously right counterparts of what trainer/quality measures: plain loops in double
// precision over copied values; and small sets of images to measure. Thread safety: pure functions.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

namespace atelier::quality {

using Rows = std::vector<std::vector<double>>;

inline Rows rows_of(const torch::Tensor& matrix) {
  const auto values = matrix.to(torch::kFloat64).contiguous();
  Rows rows;
  for (std::int64_t i = 0; i < values.size(0); ++i) {
    const auto* first = values[i].data_ptr<double>();
    rows.emplace_back(first, first + values.size(1));
  }
  return rows;
}

inline double oracle_distance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0.0;
  for (std::size_t d = 0; d < a.size(); ++d) {
    sum += (a[d] - b[d]) * (a[d] - b[d]);
  }
  return std::sqrt(sum);
}

inline double oracle_mean_pairwise(const torch::Tensor& matrix) {
  const auto rows = rows_of(matrix);
  double sum = 0.0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < rows.size(); ++j) {
      sum += i == j ? 0.0 : oracle_distance(rows[i], rows[j]);
    }
  }
  return sum / static_cast<double>(rows.size() * (rows.size() - 1));
}

/// For each row of `from` the distance to the nearest row of `to`.
inline std::vector<double> oracle_nearest(const torch::Tensor& from, const torch::Tensor& to) {
  const auto queries = rows_of(from);
  const auto others = rows_of(to);
  std::vector<double> nearest;
  for (const auto& query : queries) {
    double least = std::numeric_limits<double>::infinity();
    for (const auto& other : others) {
      least = std::min(least, oracle_distance(query, other));
    }
    nearest.push_back(least);
  }
  return nearest;
}

inline double oracle_mean(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double value : values) {
    sum += value;
  }
  return sum / static_cast<double>(values.size());
}

inline torch::Tensor seeded_normal(at::IntArrayRef shape, std::int64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(static_cast<std::uint64_t>(seed));
  return torch::randn(shape, generator, torch::kFloat32);
}

/// Smooth coloured images with few degrees of freedom, as photographs have: random mixtures of the
/// three lowest cosine waves. Shapes: → uint8 [count,size,size,3].
inline torch::Tensor smooth_images(std::int64_t count, std::int64_t size, std::int64_t seed) {
  const auto x = (torch::arange(size, torch::kFloat32) + 0.5) * (M_PI / static_cast<double>(size));
  std::vector<torch::Tensor> waves;
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; i + j < 2; ++j) {
      waves.push_back(torch::outer(torch::cos(x * i), torch::cos(x * j)));
    }
  }
  const auto basis = torch::stack(waves);  // [3,size,size]
  const auto weights = seeded_normal({count, 3, basis.size(0)}, seed) * 0.3;
  const auto images = torch::einsum("nck,kyx->nyxc", {weights, basis});
  return (images.clamp(-1, 1) * 127.5 + 127.5).round().to(torch::kUInt8);
}

}  // namespace atelier::quality
