#include "trainer/networks/sampling.h"

#include <numeric>

#include "launch/base/error.h"
#include "trainer/networks/batch_norm.h"
#include "trainer/networks/spectral_norm.h"

namespace atelier::networks {
namespace {

constexpr std::int64_t kKernel = 4;
constexpr std::int64_t kStride = 2;
constexpr std::int64_t kPadding = 1;
constexpr double kSlope = 0.2;            // of LeakyReLU
constexpr std::int64_t kMostGroups = 32;  // Wu and He 2018, §3.1

at::Tensor activate(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::kSilu:
      return torch::silu(x);
    case Activation::kRelu:
      return torch::relu(x);
    case Activation::kLeakyRelu:
      return torch::leaky_relu(x, kSlope);
  }
  fail_check("activation", "unknown activation");
}

/// A convolution whose weight may be normalised.
class Halving final : public torch::nn::Module {
 public:
  Halving(std::int64_t in, std::int64_t out, bool bias, bool spectral_norm)
      : weight_(register_parameter("weight", torch::zeros({out, in, kKernel, kKernel}))) {
    if (bias) bias_ = register_parameter("bias", torch::zeros({out}));
    if (spectral_norm) norm_ = register_module("norm", std::make_shared<SpectralNorm>(out));
  }
  [[nodiscard]] at::Tensor forward(const at::Tensor& x) {
    return torch::conv2d(x, norm_ ? norm_->forward(weight_) : weight_, bias_, kStride, kPadding);
  }

 private:
  at::Tensor weight_, bias_;
  std::shared_ptr<SpectralNorm> norm_;
};

class Doubling final : public torch::nn::Module {
 public:
  Doubling(std::int64_t in, std::int64_t out, bool bias)
      : weight_(register_parameter("weight", torch::zeros({in, out, kKernel, kKernel}))) {
    if (bias) bias_ = register_parameter("bias", torch::zeros({out}));
  }
  [[nodiscard]] at::Tensor forward(const at::Tensor& x) {
    return torch::conv_transpose2d(x, weight_, bias_, kStride, kPadding);
  }

 private:
  at::Tensor weight_, bias_;
};

// A batch normalisation takes any bias away again: its gradient would be round-off, which Adam
// turns into steps of full size.
bool has_bias(const Style& style, bool normalized) {
  return style.architecture == Architecture::kPlain &&
         !(normalized && style.normalization == Normalization::kBatch);
}

// For `levels` levels in order, of the widths that channels() gives.
template <typename Channels>
torch::nn::ModuleList normalizations(Normalization kind, int levels, Channels channels) {
  torch::nn::ModuleList layers;
  for (int i = 0; i < levels && kind != Normalization::kNone; ++i) {
    const std::int64_t width = channels(i);
    if (kind == Normalization::kBatch) {
      layers->push_back(std::make_shared<BatchNorm>(width));
    } else {
      layers->push_back(torch::nn::GroupNorm(std::gcd(width, kMostGroups), width));
    }
  }
  return layers;
}

at::Tensor normalize(torch::nn::Module& layer, const at::Tensor& x) {
  if (auto* const batch = layer.as<BatchNorm>()) return batch->forward(x);
  return layer.as<torch::nn::GroupNorm>()->forward(x);
}

// [N, C·H·W] → [N, C, H, W] in channels_last memory, which the convolutions are fast in. The linear
// layer's outputs are read in that order, so this moves no memory.
at::Tensor to_base(const at::Tensor& flat, std::int64_t channels, std::int64_t height,
                   std::int64_t width) {
  return flat.view({flat.size(0), height, width, channels}).permute({0, 3, 1, 2});
}

// The inverse of to_base.
at::Tensor from_base(const at::Tensor& x_NCHW) {
  return x_NCHW.permute({0, 2, 3, 1}).flatten(1);  // not reshape: N may be 0
}

}  // namespace

HalvingNet::HalvingNet(const Geometry& geometry, std::int64_t width, const Style& style,
                       Activation activation)
    : activation_(activation),
      feature_count_(channels_at(width, geometry.halvings()) * geometry.base_height() *
                     geometry.base_width()) {
  torch::nn::ModuleList convolutions;
  std::int64_t channels = geometry.channels;
  for (int level = 1; level <= geometry.halvings(); ++level) {
    const std::int64_t next = channels_at(width, level);
    convolutions->push_back(
        std::make_shared<Halving>(channels, next, has_bias(style, level > 1), style.spectral_norm));
    channels = next;
  }
  convolutions_ = register_module("convolutions", convolutions);
  normalizations_ = register_module(
      "normalizations", normalizations(style.normalization, geometry.halvings() - 1,
                                       [&](int i) { return channels_at(width, i + 2); }));
}

at::Tensor HalvingNet::halve(const at::Tensor& x_NCHW) {
  at::Tensor x = x_NCHW;
  for (std::size_t i = 0; i < convolutions_->size(); ++i) {
    x = convolutions_[i]->as<Halving>()->forward(x);
    if (i > 0 && !normalizations_->is_empty()) x = normalize(*normalizations_[i - 1], x);
    x = activate(x, activation_);
  }
  return from_base(x);
}

DoublingNet::DoublingNet(const Geometry& geometry, std::int64_t width, std::int64_t latent,
                         const Style& style, Activation activation)
    : activation_(activation),
      base_channels_(channels_at(width, geometry.halvings())),
      base_height_(geometry.base_height()),
      base_width_(geometry.base_width()) {
  const std::int64_t base_values = base_channels_ * base_height_ * base_width_;
  from_latent_ = register_module(
      "from_latent",
      torch::nn::Linear(torch::nn::LinearOptions(latent, base_values).bias(has_bias(style, true))));
  torch::nn::ModuleList convolutions;
  for (int level = geometry.halvings(); level >= 1; --level) {
    const std::int64_t next = level > 1 ? channels_at(width, level - 1) : geometry.channels;
    convolutions->push_back(
        std::make_shared<Doubling>(channels_at(width, level), next, has_bias(style, level > 1)));
  }
  convolutions_ = register_module("convolutions", convolutions);
  normalizations_ = register_module(
      "normalizations", normalizations(style.normalization, geometry.halvings(), [&](int i) {
        return channels_at(width, geometry.halvings() - i);
      }));
}

at::Tensor DoublingNet::forward(const at::Tensor& z_NZ) {
  at::Tensor x = to_base(from_latent_->forward(z_NZ), base_channels_, base_height_, base_width_);
  for (std::size_t i = 0; i < convolutions_->size(); ++i) {
    if (!normalizations_->is_empty()) x = normalize(*normalizations_[i], x);
    x = convolutions_[i]->as<Doubling>()->forward(activate(x, activation_));
  }
  return x;
}

}  // namespace atelier::networks
