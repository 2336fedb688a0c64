#include "trainer/networks/autoencoder.h"

#include "trainer/networks/sampling.h"

namespace atelier::networks {

Encoder::Encoder(const Geometry& geometry, std::int64_t width, std::int64_t outputs)
    : convolutions_(register_module("convolutions", halving_convolutions(geometry, width))) {
  const std::int64_t features =
      channels_at(width, geometry.halvings()) * geometry.base_height() * geometry.base_width();
  to_latent_ = register_module("to_latent", torch::nn::Linear(features, outputs));
}

at::Tensor Encoder::forward(const at::Tensor& x_NCHW) {
  at::Tensor x = x_NCHW;
  for (const auto& layer : *convolutions_) {
    x = torch::silu(layer->as<torch::nn::Conv2d>()->forward(x));
  }
  return to_latent_->forward(from_base(x));
}

Decoder::Decoder(const Geometry& geometry, std::int64_t width, std::int64_t latent)
    : base_channels_(channels_at(width, geometry.halvings())),
      base_height_(geometry.base_height()),
      base_width_(geometry.base_width()) {
  from_latent_ = register_module(
      "from_latent", torch::nn::Linear(latent, base_channels_ * base_height_ * base_width_));
  convolutions_ = register_module("convolutions", doubling_convolutions(geometry, width));
}

at::Tensor Decoder::forward(const at::Tensor& z_NZ) {
  at::Tensor x = to_base(from_latent_->forward(z_NZ), base_channels_, base_height_, base_width_);
  for (const auto& layer : *convolutions_) {
    x = layer->as<torch::nn::ConvTranspose2d>()->forward(torch::silu(x));
  }
  return x;
}

}  // namespace atelier::networks
