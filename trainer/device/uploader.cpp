#include "trainer/device/uploader.h"

#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace atelier::device {

Uploader::Uploader(at::Device device) : device_(device) {
  if (device.is_cpu()) return;
  copies_ = c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device);
  copied_.emplace(device.type());
}

at::Tensor Uploader::upload(const at::Tensor& host) {
  if (device_.is_cpu()) return host;
  const c10::Stream computing = c10::impl::VirtualGuardImpl(device_.type()).getStream(device_);
  at::Tensor there;
  {
    // Memory that the queue of copies owns: nothing that still computes reads it.
    const c10::StreamGuard aside(*copies_);
    there = torch::empty_like(host, torch::TensorOptions(host.scalar_type()).device(device_));
    there.copy_(host, /*non_blocking=*/true);
    copied_->record(*copies_);
  }
  copied_->block(computing);
  there.record_stream(computing);  // not to be given back before the computation is done with it
  return there;
}

void Uploader::finish() {
  if (copied_ && copied_->was_marked_for_recording()) copied_->synchronize();
}

}  // namespace atelier::device
