#include "trainer/engine/flat_parameters.h"

#include "launch/base/error.h"

namespace atelier::engine {
namespace {

constexpr std::int64_t kAlignmentBytes = 64;

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Strides of a packed tensor; 4-D ones in channels_last order.
std::vector<std::int64_t> packed_strides(at::IntArrayRef shape) {
  const at::Tensor probe = torch::empty(shape, torch::TensorOptions().device(torch::kMeta));
  return (shape.size() == 4 ? probe.contiguous(at::MemoryFormat::ChannelsLast) : probe)
      .strides()
      .vec();
}

}  // namespace

FlatParameters::FlatParameters(networks::Net& net, at::ScalarType type) {
  const torch::NoGradGuard no_grad;
  const std::int64_t alignment =
      kAlignmentBytes / static_cast<std::int64_t>(c10::elementSize(type));
  std::int64_t end = 0;
  for (const auto& named : net.named_parameters()) {
    const at::Tensor& parameter = named.value();
    slots_.push_back(
        {named.key(), end, parameter.sizes().vec(), packed_strides(parameter.sizes())});
    parameters_.push_back(parameter);
    end = round_up(end + parameter.numel(), alignment);
  }
  weights_ = torch::zeros({end}, type);
  gradients_ = torch::zeros({end}, type);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const at::Tensor values = view(weights_, slots_[i]);
    values.copy_(parameters_[i]);
    parameters_[i].set_data(values);
    gradient_views_.push_back(view(gradients_, slots_[i]));
  }
  clear_gradients();
}

std::int64_t FlatParameters::parameters() const {
  std::int64_t count = 0;
  for (const at::Tensor& parameter : parameters_) count += parameter.numel();
  return count;
}

at::Tensor FlatParameters::view(const at::Tensor& flat, const Slot& slot) {
  return flat.as_strided(slot.shape, slot.strides, slot.offset);
}

void FlatParameters::clear_gradients() {
  gradients_.zero_();
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor& gradient = parameters_[i].mutable_grad();
    if (!gradient.is_same(gradient_views_[i])) gradient = gradient_views_[i];
  }
}

void FlatParameters::require_gradients(bool required) {
  for (at::Tensor& parameter : parameters_) parameter.requires_grad_(required);
}

}  // namespace atelier::engine
