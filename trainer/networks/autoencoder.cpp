#include "trainer/networks/autoencoder.h"

namespace atelier::networks {

Encoder::Encoder(const Geometry& geometry, std::int64_t width, std::int64_t outputs,
                 const Style& style)
    : HalvingNet(geometry, width, style, Activation::kSilu) {
  to_latent_ = register_module("to_latent", torch::nn::Linear(feature_count(), outputs));
}

at::Tensor Encoder::forward(const at::Tensor& x_NCHW) { return to_latent_->forward(halve(x_NCHW)); }

Decoder::Decoder(const Geometry& geometry, std::int64_t width, std::int64_t latent,
                 const Style& style)
    : DoublingNet(geometry, width, latent, style, Activation::kSilu) {}

}  // namespace atelier::networks
