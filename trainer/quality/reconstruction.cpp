#include "trainer/quality/reconstruction.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <ATen/CPUGeneratorImpl.h>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "trainer/quality/pixels.h"
#include "trainer/quality/sharing.h"

namespace atelier::quality {
namespace {

constexpr std::int64_t kTileImages = 1024;
constexpr std::int64_t kSpareVectors = 32;
constexpr int kMostPasses = 40;
constexpr double kSettled = 1e-6;

// Calls `visit` with the flat pixels of each tile of images.
template <typename Visit>
void for_each_tile(const torch::Tensor& images, Visit visit) {
  for (std::int64_t i = 0; i < images.size(0); i += kTileImages) {
    visit(flat_pixels(images.slice(0, i, i + kTileImages)));
  }
}

// Columns made orthonormal. Shapes: [D,K] float64.
torch::Tensor orthonormal(const torch::Tensor& columns) {
  return std::get<0>(torch::linalg_qr(columns, "reduced"));
}

// One pass: the scatter matrix of the centred images times `basis`. Shapes: [D,K] float64.
torch::Tensor scatter_times(const torch::Tensor& images, const torch::Tensor& mean,
                            const torch::Tensor& basis) {
  const auto narrow = basis.to(torch::kFloat32);
  auto product = torch::zeros_like(basis);
  for_each_tile(images, [&](const torch::Tensor& pixels) {
    const torch::Tensor centred = pixels - mean;
    product += torch::mm(centred.t(), torch::mm(centred, narrow));
  });
  return product;
}

// Shapes: [D,dims] float32, orthonormal columns; fewer when the images span less.
torch::Tensor principal_components(const torch::Tensor& images, const torch::Tensor& mean,
                                   std::int64_t dims) {
  const auto pixels = mean.size(0);
  const auto kept = std::min(dims, pixels);
  auto generator = at::make_generator<at::CPUGeneratorImpl>(/*seed=*/1);
  auto basis = orthonormal(
      torch::randn({pixels, std::min(dims + kSpareVectors, pixels)}, generator, torch::kFloat64));
  double held = 0.0;
  for (int pass = 1;; ++pass) {
    const auto product = scatter_times(images, mean, basis);
    const auto inner = torch::mm(basis.t(), product);
    const auto [values, vectors] = torch::linalg_eigh((inner + inner.t()) / 2.0);
    const auto variance = values.slice(0, values.size(0) - kept).sum().item<double>();
    if (std::abs(variance - held) <= kSettled * variance || pass == kMostPasses) {
      // Eigenvalues ascend: the last ones are the principal ones.
      return torch::mm(basis, vectors.slice(1, vectors.size(1) - kept)).to(torch::kFloat32);
    }
    held = variance;
    basis = orthonormal(product);
  }
}

}  // namespace

void Reconstruction::add(const torch::Tensor& images, const torch::Tensor& reconstructions) {
  ATELIER_CHECK(images.size(0) == reconstructions.size(0), "one reconstruction for each image");
  const auto expected = flat_pixels(images);
  const auto found = flat_pixels(reconstructions);
  ATELIER_CHECK(expected.sizes() == found.sizes(), "reconstructions have the images' size");
  add_pixels(expected, found);
}

void Reconstruction::add_constant(const torch::Tensor& images, const torch::Tensor& pixels) {
  const auto expected = flat_pixels(images);
  add_pixels(expected, pixels.expand_as(expected));
}

void Reconstruction::add_pixels(const torch::Tensor& expected, const torch::Tensor& found) {
  squared_error_ += (expected - found).square_().sum(torch::kFloat64).item<double>();
  values_ += static_cast<double>(expected.numel());
  images_ += static_cast<double>(expected.size(0));
}

void Reconstruction::reduce(comm::Comm& comm) {
  std::array<double, 3> sums{squared_error_, values_, images_};
  sum_over_ranks(sums, comm, "reconstruction error");
  squared_error_ = sums[0];
  values_ = sums[1];
  images_ = sums[2];
}

double Reconstruction::mean_squared_error() const {
  ATELIER_CHECK(values_ > 0.0, "no image was reconstructed");
  return squared_error_ / values_;
}

double Reconstruction::psnr() const { return psnr_db(mean_squared_error()); }

void MeanImage::add(const torch::Tensor& images) {
  for_each_tile(images, [this](const torch::Tensor& pixels) {
    const auto part = pixels.sum(0, false, torch::kFloat64);
    sum_ = sum_.defined() ? sum_ + part : part;
  });
  images_ += static_cast<double>(images.size(0));
}

torch::Tensor MeanImage::value() const {
  ATELIER_CHECK(sum_.defined(), "a mean needs at least one image");
  return (sum_ / images_).to(torch::kFloat32);
}

double pca_psnr(const torch::Tensor& train, const torch::Tensor& test, std::int64_t dims) {
  ATELIER_CHECK(dims >= 0, text("dimensions, not ", dims));
  MeanImage of_train;
  of_train.add(train);
  const auto mean = of_train.value();
  torch::Tensor components;
  if (dims > 0) {
    components = principal_components(train, mean, dims);
  }
  double squared_error = 0.0;
  double values = 0.0;
  for_each_tile(test, [&](const torch::Tensor& pixels) {
    torch::Tensor found = mean.expand_as(pixels);
    if (dims > 0) {
      const auto code = torch::mm(pixels - mean, components);
      found = torch::addmm(mean, code, components.t()).clamp_(-1.0, 1.0);
    }
    squared_error += (pixels - found).square_().sum(torch::kFloat64).item<double>();
    values += static_cast<double>(pixels.numel());
  });
  ATELIER_CHECK(values > 0.0, "no image to reconstruct");
  return psnr_db(squared_error / values);
}

}  // namespace atelier::quality
