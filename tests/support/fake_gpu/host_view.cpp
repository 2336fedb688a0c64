#include "tests/support/fake_gpu/host_view.h"

#include <algorithm>
#include <cstring>

#include <c10/core/CPUAllocator.h>

#include "tests/support/fake_gpu/torch_parts.h"

namespace atelier::tests {
namespace {

// Over `storage`, with the shape and strides of `like`.
at::Tensor tensor_over(c10::Storage storage, c10::DispatchKey key, const at::Tensor& like) {
  auto tensor = at::detail::make_tensor<c10::TensorImpl>(std::move(storage),
                                                         c10::DispatchKeySet(key), like.dtype());
  auto* const impl = tensor.unsafeGetTensorImpl();
  impl->set_sizes_and_strides(like.sizes(), like.strides(), like.storage_offset());
  if (like.unsafeGetTensorImpl()->is_wrapped_number()) impl->set_wrapped_number(true);
  return tensor;
}

bool same_shape(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.strides() == b.strides() &&
         a.storage_offset() == b.storage_offset();
}

}  // namespace

HostView::~HostView() {
  for (const SharedStorage& shared : storages_) memory_.end_use(shared.memory);
}

c10::Storage HostView::host_storage(const c10::Storage& device) {
  const auto known = std::find_if(storages_.begin(), storages_.end(), [&](const auto& each) {
    return each.device.is_alias_of(device);
  });
  if (known != storages_.end()) return known->host;
  void* const memory = device.unsafeGetStorageImpl()->mutable_data();
  TORCH_CHECK(device.nbytes() == 0 || memory_.holds(memory, device.nbytes()), "A tensor on ",
              device.device(), " lies at ", memory, ", where the made-up device has ", "no ",
              device.nbytes(), " bytes: give from_blob() memory of the device.");
  memory_.begin_use(memory);
  // Its allocator lets kernels resize what they write; settle() sees it by the other address.
  const c10::Storage host(c10::Storage::use_byte_size_t(), device.nbytes(),
                          c10::DataPtr(memory, c10::Device(c10::DeviceType::CPU)),
                          c10::GetCPUAllocator(), /*resizable=*/true);
  storages_.push_back({device, host, memory});
  return host;
}

at::Tensor HostView::to_host(const at::Tensor& tensor) {
  if (!tensor.defined()) return tensor;
  if (tensor.is_cpu()) {
    on_host_.push_back(tensor);
    return tensor;
  }
  for (const Pair& pair : tensors_) {
    if (pair.device.is_same(tensor)) return pair.host;
  }
  auto host = tensor_over(host_storage(tensor.storage()), c10::DispatchKey::CPU, tensor);
  tensors_.push_back({tensor, host});
  return host;
}

void HostView::copy_in(const c10::Storage& device, const c10::Storage& host) {
  if (host.nbytes() == 0) return;
  void* const memory = device.unsafeGetStorageImpl()->mutable_data();
  memory_.begin_use(memory);
  std::memcpy(memory, host.data(), host.nbytes());
  memory_.end_use(memory);
}

void HostView::settle() {
  for (SharedStorage& shared : storages_) {
    if (shared.host.data() == shared.memory) continue;
    auto* const device = shared.device.unsafeGetStorageImpl();
    const std::size_t bytes = shared.host.nbytes();
    memory_.end_use(shared.memory);
    device->set_data_ptr_noswap(c10::GetAllocator(kFakeDevice.type())->allocate(bytes));
    device->set_nbytes(bytes);
    copy_in(shared.device, shared.host);
    shared.memory = device->mutable_data();
    memory_.begin_use(shared.memory);
  }
  for (const Pair& pair : tensors_) {
    auto* const device = pair.device.unsafeGetTensorImpl();
    const c10::Storage storage = device_storage(pair.host.storage());
    if (!storage.is_alias_of(pair.device.storage())) device->set_storage_keep_dtype(storage);
    if (same_shape(pair.device, pair.host)) continue;
    device->set_sizes_and_strides(pair.host.sizes(), pair.host.strides(),
                                  pair.host.storage_offset());
  }
}

c10::Storage HostView::device_storage(const c10::Storage& host) {
  const auto known = std::find_if(storages_.begin(), storages_.end(),
                                  [&](const auto& each) { return each.host.is_alias_of(host); });
  if (known != storages_.end()) return known->device;
  auto* const allocator = c10::GetAllocator(kFakeDevice.type());
  c10::Storage device(c10::Storage::use_byte_size_t(), host.nbytes(),
                      allocator->allocate(host.nbytes()), allocator, /*resizable=*/true);
  copy_in(device, host);
  void* const memory = device.unsafeGetStorageImpl()->mutable_data();
  memory_.begin_use(memory);
  storages_.push_back({device, host, memory});
  return device;
}

at::Tensor HostView::to_device(const at::Tensor& tensor) {
  if (!tensor.defined()) return tensor;
  for (const Pair& pair : tensors_) {
    if (pair.host.is_same(tensor)) return pair.device;
  }
  for (const at::Tensor& argument : on_host_) {
    if (argument.is_same(tensor)) return tensor;
  }
  return tensor_over(device_storage(tensor.storage()), c10::DispatchKey::PrivateUse1, tensor);
}

}  // namespace atelier::tests
