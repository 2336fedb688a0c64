#include "trainer/networks/adversarial.h"

#include "trainer/networks/sampling.h"

namespace atelier::networks {
namespace {

constexpr double kSlope = 0.2;

}  // namespace

Generator::Generator(const Geometry& geometry, std::int64_t width, std::int64_t latent)
    : base_channels_(channels_at(width, geometry.halvings())),
      base_height_(geometry.base_height()),
      base_width_(geometry.base_width()) {
  from_latent_ = register_module(
      "from_latent", torch::nn::Linear(latent, base_channels_ * base_height_ * base_width_));
  convolutions_ = register_module("convolutions", doubling_convolutions(geometry, width));
}

at::Tensor Generator::forward(const at::Tensor& z_NZ) {
  at::Tensor x = to_base(from_latent_->forward(z_NZ), base_channels_, base_height_, base_width_);
  for (const auto& layer : *convolutions_) {
    x = layer->as<torch::nn::ConvTranspose2d>()->forward(torch::leaky_relu(x, kSlope));
  }
  return x;
}

Discriminator::Discriminator(const Geometry& geometry, std::int64_t width)
    : convolutions_(register_module("convolutions", halving_convolutions(geometry, width))) {
  const std::int64_t features =
      channels_at(width, geometry.halvings()) * geometry.base_height() * geometry.base_width();
  // No bias: the loss takes differences of logits, so its gradient would be round-off, which Adam
  // turns into steps of full size.
  to_logit_ = register_module("to_logit",
                              torch::nn::Linear(torch::nn::LinearOptions(features, 1).bias(false)));
}

at::Tensor Discriminator::features(const at::Tensor& x_NCHW) {
  at::Tensor x = x_NCHW;
  for (const auto& layer : *convolutions_) {
    x = torch::leaky_relu(layer->as<torch::nn::Conv2d>()->forward(x), kSlope);
  }
  return from_base(x);
}

at::Tensor Discriminator::logits(const at::Tensor& features_NF) {
  return to_logit_->forward(features_NF).squeeze(1);
}

at::Tensor Discriminator::forward(const at::Tensor& x_NCHW) { return logits(features(x_NCHW)); }

}  // namespace atelier::networks
