// Kernels of the made-up device: the CPU's, run over the device's memory, and the few that must
// know the device because they make or describe tensors.
#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include <ATen/EmptyTensor.h>
#include <ATen/NativeFunctions.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/enum_tag.h>
#include <ATen/core/ivalue.h>
#include <ATen/native/Resize.h>

#include "tests/support/fake_gpu/host_view.h"
#include "tests/support/fake_gpu/torch_parts.h"

namespace atelier::tests {
namespace {

using c10::DispatchKey;
using c10::IValue;
using c10::OperatorHandle;
using torch::jit::Stack;

// Composite on all devices, but what they compute depends on the device: a CPU would take another
// way than one that LibTorch does not know.
constexpr std::array<std::string_view, 3> kAsOnCpu = {"convolution", "_convolution",
                                                      "convolution_backward"};
constexpr std::array<std::string_view, 10> kOurs = {"empty.memory_format",
                                                    "empty_strided",
                                                    "as_strided",
                                                    "view",
                                                    "_reshape_alias",
                                                    "record_stream",
                                                    "set_.source_Storage_storage_offset",
                                                    "set_.source_Storage",
                                                    "set_.source_Tensor",
                                                    "set_"};

bool contains(const auto& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string_view short_name(const OperatorHandle& op) {
  std::string_view name = op.schema().name();
  if (name.starts_with("aten::")) name.remove_prefix(6);
  return name;
}

// What a GPU takes from the CPU in an operator of its own: numbers, and places to look up.
bool may_be_on_cpu(const OperatorHandle& op, const c10::Argument& argument,
                   const at::Tensor& given) {
  const std::string_view name = short_name(op);
  if (name == "copy_") return true;
  if (argument.name() == "indices" && name.find("index") != std::string_view::npos) return true;
  if (given.dim() > 0 || (argument.alias_info() != nullptr && argument.alias_info()->isWrite())) {
    return false;
  }
  const auto& arguments = op.schema().arguments();
  const auto operands = std::count_if(arguments.begin(), arguments.end(), [](const auto& each) {
    return each.type()->isSubtypeOf(*c10::TensorType::get()) && !each.is_out();
  });
  return operands == 2 || name == "where" || name.starts_with("index_put") ||
         name.starts_with("_index_put") || name.starts_with("masked_fill") ||
         (name.starts_with("_fused_") && argument.name() == "lr");
}

void check_place(const OperatorHandle& op, const c10::Argument& argument, const at::Tensor& given) {
  if (!given.defined() || given.device() == kFakeDevice) return;
  TORCH_CHECK(given.is_cpu() && may_be_on_cpu(op, argument, given), op.schema().name(),
              ": expected all tensors to be on the same device, but ", argument.name(), " is on ",
              given.device(), " and others are on ", kFakeDevice, ". Move it there first.");
}

bool looks_up_a_mask(const IValue& indices) {
  bool mask = false;
  if (!indices.isOptionalTensorList()) return mask;
  for (const std::optional<at::Tensor>& each : indices.toOptionalTensorVector()) {
    const bool defined = each.has_value() && each->defined();
    mask =
        mask || (defined && (each->scalar_type() == at::kBool || each->scalar_type() == at::kByte));
  }
  return mask;
}

bool tells_the_host(const OperatorHandle& op, c10::ArrayRef<IValue> arguments) {
  if (op.hasTag(at::Tag::data_dependent_output)) return true;
  const std::string_view name = short_name(op);
  if (name == "index" || name.starts_with("index_put") || name.starts_with("_index_put")) {
    return looks_up_a_mask(arguments[1]);
  }
  return op.hasTag(at::Tag::dynamic_output_shape);
}

void count_copy(TorchDeviceState& state, c10::ArrayRef<IValue> arguments) {
  const at::Tensor& to = arguments[0].toTensor();
  const at::Tensor& from = arguments[1].toTensor();
  if (to.is_cpu()) ++state.copies_to_host;
  if (to.is_cpu() == from.is_cpu()) return;
  forbid_in_recordings("a copy between host and device");
  const at::Tensor& host = to.is_cpu() ? to : from;
  const bool waits = !arguments[2].toBool() || !is_pinned_memory(host.const_data_ptr());
  if (waits) ++state.waits_of_host;
}

void count(const OperatorHandle& op, c10::ArrayRef<IValue> arguments) {
  TorchDeviceState& state = torch_device_state();
  if (short_name(op) == "copy_") return count_copy(state, arguments);
  if (!tells_the_host(op, arguments)) return;
  forbid_in_recordings(op.schema().name());
  ++state.copies_to_host;
  ++state.waits_of_host;
}

void run_on_host(const OperatorHandle& op, c10::DispatchKeySet, Stack* stack) {
  run_operator(op, *stack);
}

void check_options(std::optional<c10::Device> device, std::optional<bool> pinned) {
  TORCH_CHECK(!device || !device->has_index() || *device == kFakeDevice, "There is no ", *device,
              ": the made-up machine has one device, ", kFakeDevice, ".");
  TORCH_CHECK(!pinned.value_or(false), "Only memory of the host can be pinned.");
}

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype,
                 std::optional<at::Layout>, std::optional<at::Device> device,
                 std::optional<bool> pinned, std::optional<at::MemoryFormat> format) {
  check_options(device, pinned);
  return at::detail::empty_generic(size, c10::GetAllocator(kFakeDevice.type()),
                                   c10::DispatchKeySet(DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride,
                         std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                         std::optional<at::Device> device, std::optional<bool> pinned) {
  check_options(device, pinned);
  return at::detail::empty_strided_generic(size, stride, c10::GetAllocator(kFakeDevice.type()),
                                           c10::DispatchKeySet(DispatchKey::PrivateUse1),
                                           c10::dtype_or_default(dtype));
}

// Storages do not grow here: what does not fit is an error.
at::Tensor& set_storage(at::Tensor& self, at::Storage source, std::int64_t offset,
                        at::IntArrayRef size, at::IntArrayRef stride) {
  std::vector<std::int64_t> packed(size.size(), 1);
  for (std::size_t i = size.size(); i-- > 1;)
    packed[i - 1] = packed[i] * std::max<std::int64_t>(size[i], 1);
  const at::IntArrayRef strides = stride.empty() ? at::IntArrayRef(packed) : stride;
  at::native::checkInBoundsForStorage(size, strides, offset, self.dtype(), source);
  at::native::checkSetStorage(self, std::move(source), offset, size, strides,
                              /*check_offset_in_bounds=*/false);
  self.unsafeGetTensorImpl()->set_sizes_and_strides(size, strides, offset);
  return self;
}

at::Tensor& set_whole_storage(at::Tensor& self, at::Storage source) {
  const std::size_t elements = source.nbytes() / self.dtype().itemsize();
  return set_storage(self, std::move(source), 0, {static_cast<std::int64_t>(elements)}, {});
}

at::Tensor& set_tensor(at::Tensor& self, const at::Tensor& source) {
  return set_storage(self, source.storage(), source.storage_offset(), source.sizes(),
                     source.strides());
}

at::Tensor& set_nothing(at::Tensor& self) {
  return set_tensor(self, at::empty({0}, self.options()));
}

at::Tensor copy_from(const at::Tensor& self, const at::Tensor& to, bool non_blocking) {
  at::Tensor written = to;
  return written.copy_(self, non_blocking);
}

at::Tensor copy_from_and_resize(const at::Tensor& self, const at::Tensor& to) {
  return to.resize_(self.sizes()).copy_(self);
}

void record_stream(at::Tensor& self, c10::Stream stream) {
  TORCH_CHECK(stream.device() == self.device(), "A tensor on ", self.device(),
              " is not used on a stream of ", stream.device(), ".");
}

// Operators with a kernel for CPUs beside one for all devices, which may compute otherwise.
bool has_two_ways(const OperatorHandle& op) {
  constexpr std::array kForAll = {DispatchKey::CompositeExplicitAutograd,
                                  DispatchKey::CompositeExplicitAutogradNonFunctional,
                                  DispatchKey::CompositeImplicitAutograd};
  return op.hasKernelForDispatchKey(DispatchKey::CPU) &&
         std::any_of(kForAll.begin(), kForAll.end(),
                     [&](DispatchKey key) { return op.hasKernelForDispatchKey(key); });
}

void register_ours(torch::Library& library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("as_strided", &at::native::as_strided_tensorimpl);
  library.impl(
      "view",
      TORCH_FN(static_cast<at::Tensor (*)(const at::Tensor&, at::IntArrayRef)>(&at::native::view)));
  library.impl("_reshape_alias", &at::native::_reshape_alias);
  library.impl("set_.source_Storage_storage_offset", &set_storage);
  library.impl("set_.source_Storage", &set_whole_storage);
  library.impl("set_.source_Tensor", &set_tensor);
  library.impl("set_", &set_nothing);
  library.impl("_copy_from", &copy_from);
  library.impl("_copy_from_and_resize", &copy_from_and_resize);
  library.impl("record_stream", &record_stream);
}

}  // namespace

void run_operator(const OperatorHandle& op, Stack& stack) {
  const auto& declared = op.schema().arguments();
  const std::size_t first = stack.size() - declared.size();
  const Stack kept(stack.begin() + static_cast<std::ptrdiff_t>(first), stack.end());
  for (std::size_t i = 0; i < kept.size(); ++i) {
    IValue each = kept[i];
    TORCH_CHECK(!each.isGenerator(), op.schema().name(), ": the made-up device takes no generator ",
                "of the host's: draw on the CPU and copy, or name no generator.");
    for_tensors(each, [&](const at::Tensor& given) {
      check_place(op, declared[i], given);
      return given;
    });
  }
  count(op, kept);

  HostView view(*torch_device_state().memory);
  for (std::size_t i = first; i < stack.size(); ++i) {
    IValue& value = stack[i];
    for_tensors(value, [&](const at::Tensor& given) { return view.to_host(given); });
    if (value.isDevice() && !value.toDevice().is_cpu()) value = c10::Device(at::kCPU);
  }
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  const c10::impl::ExcludeDispatchKeyGuard below_autocast(c10::autocast_dispatch_keyset);
  op.redispatchBoxed(c10::DispatchKeySet(DispatchKey::CPU), &stack);
  view.settle();
  for (std::size_t i = stack.size() - op.schema().returns().size(); i < stack.size(); ++i) {
    for_tensors(stack[i], [&](const at::Tensor& made) { return view.to_device(made); });
  }
  put_on_tape(
      op, kept,
      Stack(stack.end() - static_cast<std::ptrdiff_t>(op.schema().returns().size()), stack.end()));
}

void register_operators(TorchDeviceState& state) {
  auto& any = state.libraries.emplace_back(torch::Library::IMPL, "_", DispatchKey::PrivateUse1,
                                           __FILE__, __LINE__);
  any.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_host>());
  auto& aten = state.libraries.emplace_back(torch::Library::IMPL, "aten", DispatchKey::PrivateUse1,
                                            __FILE__, __LINE__);
  register_ours(aten);
  for (const c10::OperatorName& name : c10::Dispatcher::singleton().getAllOpNames()) {
    if (!name.name.starts_with("aten::")) continue;
    const auto op = c10::Dispatcher::singleton().findSchema(name);
    const std::string plain = c10::toString(name).substr(6);
    if (!op || contains(kOurs, plain)) continue;
    if (!has_two_ways(*op) && !contains(kAsOnCpu, plain) && plain != "copy_") continue;
    aten.impl(plain.c_str(), torch::CppFunction::makeFromBoxedFunction<&run_on_host>());
  }
}

}  // namespace atelier::tests
