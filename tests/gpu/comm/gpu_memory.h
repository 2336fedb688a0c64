// Memory of the GPU that this process has chosen, as the contract's tests take it.
// Thread safety: one thread.
#pragma once

#include <memory>

#include "tests/unit/comm/comm_contract.h"

namespace atelier::comm {

class GpuMemory : public DeviceMemory {
 public:
  /// Gives back what was freed: to free may wait for the device, so it is done when nothing is in
  /// flight there.
  virtual void reclaim() = 0;
};

/// Null in a build without CUDA.
[[nodiscard]] std::unique_ptr<GpuMemory> make_gpu_memory();

}  // namespace atelier::comm
