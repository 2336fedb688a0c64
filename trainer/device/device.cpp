#include "trainer/device/device.h"

#include <cstdlib>

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::device {

void load_cuda_kernels() {
  constexpr const char* kLibrary = "libtorch_cuda.so";
  if (c10::impl::hasDeviceGuardImpl(at::kCUDA)) return;
  if (::dlopen(kLibrary, RTLD_NOW | RTLD_GLOBAL) != nullptr) return;
  const char* const problem = ::dlerror();
  throw DeviceError(text("Cannot load LibTorch's kernels for GPUs, '", kLibrary,
                         "': ", problem != nullptr ? problem : "no reason given", "."),
                    "Is this LibTorch's CUDA build, whole and next to libtorch_cpu.so?");
}

at::Device of(const comm::Comm& comm) {
  if (comm.host_can_touch()) return at::kCPU;
  auto type = at::kPrivateUse1;  // a device of somebody's own, where there is one
  if (!c10::impl::hasDeviceGuardImpl(type)) {
    load_cuda_kernels();
    type = at::kCUDA;
  }
  return c10::impl::VirtualGuardImpl(type).getDevice();
}

void* current_stream(at::Device device) {
  if (device.is_cpu()) return nullptr;
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device).native_handle();
}

void use_own_queue(at::Device device) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  static_cast<void>(guard.exchangeStream(guard.getStreamFromGlobalPool(device, false)));
}

void configure(at::Device device, const DeviceConfig& config, bool deterministic) {
  if (device.is_cpu()) return;
  if (config.graphs == Graphs::kOn) use_own_queue(device);
  auto& context = at::globalContext();
  context.setAllowTF32CuBLAS(config.tf32);
  context.setAllowTF32CuDNN(config.tf32);
  context.setBenchmarkCuDNN(config.tune_convolutions && !deterministic);
  if (!deterministic) return;
  // cuBLAS reads it when it starts; without it its sums depend on the order of streams.
  ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
  context.setDeterministicCuDNN(true);
  context.setDeterministicAlgorithms(true, /*warn_only=*/true);
  context.setDeterministicFillUninitializedMemory(false);
}

at::Tensor view_of(void* memory, std::int64_t elements, at::ScalarType type, at::Device device) {
  return at::for_blob(memory, {elements})
      .options(torch::TensorOptions(type).device(device))
      .target_device(device)
      .make_tensor();
}

at::Tensor staging(at::Device device, at::IntArrayRef shape, at::ScalarType type) {
  return torch::empty(shape, torch::TensorOptions(type).pinned_memory(!device.is_cpu()));
}

std::int64_t peak_bytes(at::Device device) {
  if (device.is_cpu()) return 0;
  auto* const allocator = dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(device.type()));
  if (allocator == nullptr) return 0;
  return allocator->getDeviceStats(device.index()).allocated_bytes[0].peak;
}

void synchronize(at::Device device) {
  if (device.is_cpu()) return;
  c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

}  // namespace atelier::device
