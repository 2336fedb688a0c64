#include "trainer/networks/sampling.h"

namespace atelier::networks {
namespace {

constexpr std::int64_t kKernel = 4;
constexpr std::int64_t kStride = 2;
constexpr std::int64_t kPadding = 1;

}  // namespace

torch::nn::ModuleList halving_convolutions(const Geometry& geometry, std::int64_t width) {
  torch::nn::ModuleList layers;
  std::int64_t channels = geometry.channels;
  for (int level = 1; level <= geometry.halvings(); ++level) {
    const std::int64_t next = channels_at(width, level);
    layers->push_back(torch::nn::Conv2d(
        torch::nn::Conv2dOptions(channels, next, kKernel).stride(kStride).padding(kPadding)));
    channels = next;
  }
  return layers;
}

torch::nn::ModuleList doubling_convolutions(const Geometry& geometry, std::int64_t width) {
  torch::nn::ModuleList layers;
  for (int level = geometry.halvings(); level >= 1; --level) {
    const std::int64_t next = level > 1 ? channels_at(width, level - 1) : geometry.channels;
    layers->push_back(torch::nn::ConvTranspose2d(
        torch::nn::ConvTranspose2dOptions(channels_at(width, level), next, kKernel)
            .stride(kStride)
            .padding(kPadding)));
  }
  return layers;
}

at::Tensor to_base(const at::Tensor& flat, std::int64_t channels, std::int64_t height,
                   std::int64_t width) {
  // The linear layer's outputs are read in channels_last order, so this moves no memory.
  return flat.view({flat.size(0), height, width, channels}).permute({0, 3, 1, 2});
}

at::Tensor from_base(const at::Tensor& x_NCHW) {
  return x_NCHW.permute({0, 2, 3, 1}).flatten(1);  // not reshape: N may be 0
}

}  // namespace atelier::networks
