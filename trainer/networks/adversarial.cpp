#include "trainer/networks/adversarial.h"

namespace atelier::networks {
namespace {

Style without_spectral_norm(Style style) {
  style.spectral_norm = false;
  return style;
}

InitialWeights initial_weights_of(Architecture architecture) {
  return architecture == Architecture::kDcgan ? InitialWeights::kNormal
                                              : InitialWeights::kUniformByFanIn;
}

}  // namespace

Generator::Generator(const Geometry& geometry, std::int64_t width, std::int64_t latent,
                     const Style& style)
    : DoublingNet(
          geometry, width, latent, without_spectral_norm(style),
          style.architecture == Architecture::kDcgan ? Activation::kRelu : Activation::kLeakyRelu),
      architecture_(style.architecture) {}

at::Tensor Generator::forward(const at::Tensor& z_NZ) {
  const at::Tensor x = DoublingNet::forward(z_NZ);
  return architecture_ == Architecture::kDcgan ? torch::tanh(x) : x;
}

InitialWeights Generator::initial_weights() const { return initial_weights_of(architecture_); }

Discriminator::Discriminator(const Geometry& geometry, std::int64_t width, const Style& style)
    : HalvingNet(geometry, width, style, Activation::kLeakyRelu),
      architecture_(style.architecture) {
  // No bias: a loss of differences of logits has no gradient for it but round-off, which Adam turns
  // into steps of full size; and DCGAN has none.
  to_logit_ = register_module(
      "to_logit", torch::nn::Linear(torch::nn::LinearOptions(feature_count(), 1).bias(false)));
  if (style.spectral_norm) {
    logit_norm_ = register_module("logit_norm", std::make_shared<SpectralNorm>(1));
  }
}

at::Tensor Discriminator::features(const at::Tensor& x_NCHW) { return halve(x_NCHW); }

at::Tensor Discriminator::logits(const at::Tensor& features_NF) {
  const at::Tensor& weight = to_logit_->weight;
  return torch::linear(features_NF, logit_norm_ ? logit_norm_->forward(weight) : weight).squeeze(1);
}

at::Tensor Discriminator::forward(const at::Tensor& x_NCHW) { return logits(features(x_NCHW)); }

InitialWeights Discriminator::initial_weights() const { return initial_weights_of(architecture_); }

}  // namespace atelier::networks
