#include "trainer/quality/indicators.h"

#include <limits>

#include "launch/base/error.h"
#include "trainer/quality/sharing.h"

namespace atelier::quality {
namespace {

double mean_of(const torch::Tensor& values) {
  return values.to(torch::kFloat64).mean().item<double>();
}

}  // namespace

DiscriminatorAccuracy discriminator_accuracy(const torch::Tensor& real_logits,
                                             const torch::Tensor& fake_logits) {
  ATELIER_CHECK(real_logits.numel() == fake_logits.numel() && real_logits.numel() > 0,
                "logits of as many real as generated images");
  const auto real = real_logits.detach().to(torch::kFloat64).flatten();
  const auto fake = fake_logits.detach().to(torch::kFloat64).flatten();
  DiscriminatorAccuracy accuracy;
  accuracy.images = real.numel();
  accuracy.gap = mean_of(real) - mean_of(fake);
  accuracy.threshold = (mean_of(real) + mean_of(fake)) / 2.0;
  accuracy.real = mean_of(real > accuracy.threshold);
  accuracy.fake = mean_of(fake < accuracy.threshold);
  accuracy.pairs = mean_of(real > fake) + mean_of(real == fake) / 2.0;
  if (accuracy.gap != accuracy.gap) {
    accuracy.real = accuracy.fake = accuracy.pairs = std::numeric_limits<double>::quiet_NaN();
  }
  return accuracy;
}

LatentStatistics::LatentStatistics(std::int64_t dimensions)
    : sums_(torch::zeros({4, dimensions}, torch::kFloat64)) {}

void LatentStatistics::add(const torch::Tensor& mu, const torch::Tensor& logvar) {
  ATELIER_CHECK(mu.dim() == 2 && mu.sizes() == logvar.sizes() && mu.size(1) == sums_.size(1),
                "mu and logvar are [N,Z]");
  const auto m = mu.detach().to(torch::kFloat64);
  const auto v = logvar.detach().to(torch::kFloat64);
  sums_[0] += m.sum(0);
  sums_[1] += m.square().sum(0);
  sums_[2] += ((m.square() + v.exp() - 1.0 - v) / 2.0).sum(0);
  sums_[3] += static_cast<double>(m.size(0));
}

void LatentStatistics::reduce(comm::Comm& comm) {
  sum_over_ranks(sums_, comm, "latent statistics");
}

LatentIndicators LatentStatistics::result() const {
  LatentIndicators result;
  result.dimensions = sums_.size(1);
  result.images = result.dimensions == 0 ? 0 : sums_[3][0].item<std::int64_t>();
  const auto mean = sums_ / sums_[3].clamp_min(1.0);
  const auto variance = mean[1] - mean[0].square();
  result.kl_per_dim = mean[2].clone();
  result.kl = mean[2].sum().item<double>();
  result.active = (variance > kActiveVariance).sum().item<std::int64_t>();
  return result;
}

LatentIndicators measure_latents(const torch::Tensor& mu, const torch::Tensor& logvar) {
  ATELIER_CHECK(mu.dim() == 2, "mu and logvar are [N,Z]");
  LatentStatistics statistics(mu.size(1));
  statistics.add(mu, logvar);
  return statistics.result();
}

}  // namespace atelier::quality
