#include "trainer/engine/flat_parameters.h"

#include "launch/base/error.h"
#include "trainer/device/device.h"

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

FlatParameters::FlatParameters(networks::Net& net, at::ScalarType type, comm::Comm& comm)
    : computes_in_(type) {
  const torch::NoGradGuard no_grad;
  const auto element_bytes = static_cast<std::int64_t>(c10::elementSize(type));
  std::int64_t end = kVerdict;
  std::int64_t trained_end = end;
  for (const bool frozen : {false, true}) {
    for (const auto& named : net.named_parameters()) {
      const at::Tensor& parameter = named.value();
      if (parameter.requires_grad() == frozen) continue;
      slots_.push_back(
          {named.key(), end, parameter.sizes().vec(), packed_strides(parameter.sizes())});
      parameters_.push_back(parameter);
      end = round_up(end + parameter.numel(), kAlignmentBytes / element_bytes);
    }
    if (!frozen) {
      trained_slots_ = slots_.size();
      trained_end = end;
    }
  }
  const auto options = torch::TensorOptions(type).device(device::of(comm));
  weights_ = torch::zeros({end}, options);
  std::byte* const shared = comm.allocate(static_cast<std::size_t>(trained_end * element_bytes));
  gradients_ = device::view_of(shared, trained_end, type, options.device());
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const at::Tensor values = view(weights_, slots_[i]);
    values.copy_(parameters_[i]);
    parameters_[i].set_data(values);
  }
}

std::int64_t FlatParameters::parameters() const {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < trained_slots_; ++i) count += parameters_[i].numel();
  return count;
}

at::Tensor FlatParameters::view(const at::Tensor& flat, const Slot& slot) {
  return flat.as_strided(slot.shape, slot.strides, slot.offset);
}

void FlatParameters::compute_in(at::ScalarType type, const at::Tensor& memory) {
  if (type == computes_in_) return;
  ATELIER_CHECK(
      weights_.scalar_type() == at::kFloat && (type == at::kFloat || type == at::kBFloat16),
      "float32 weights can be rounded to bfloat16");
  const torch::NoGradGuard no_grad;
  computes_in_ = type;
  rounded_.reset();
  if (type == at::kBFloat16) {
    rounded_ = memory.defined() ? memory : torch::empty_like(weights_, type);
  }
  weights_changed();
  const at::Tensor& seen = rounded_.defined() ? rounded_ : weights_;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].shape.size() >= 2) parameters_[i].set_data(view(seen, slots_[i]));
  }
}

void FlatParameters::weights_changed() {
  const torch::NoGradGuard no_grad;
  if (rounded_.defined()) rounded_.copy_(weights_);
}

void FlatParameters::require_gradients(bool required) {
  for (std::size_t i = 0; i < trained_slots_; ++i) parameters_[i].requires_grad_(required);
}

}  // namespace atelier::engine
