// Work of a device that is recorded once and then repeated without the host: a CUDA graph. The host
// asks once for a whole step instead of thousands of times for an operator.
// Thread safety: one thread records and repeats; another may compute gradients for it meanwhile.
#pragma once

#include <functional>
#include <memory>

#include <torch/torch.h>

namespace atelier::device {

class Recording {
 public:
  Recording() = default;
  virtual ~Recording() = default;
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  /// Asks the device to do all of it once more, on the calling thread's queue: the same operations
  /// on the same memory. Throws: DeviceError.
  virtual void replay() = 0;
};

/// Makes a recording of what `work` asks a device to do.
using Recorder = std::function<std::unique_ptr<Recording>(const std::function<void()>& work)>;

/// How devices of this type record; those of CUDA bring it with them. Lifetime: that of the
/// process.
void set_recorder(at::DeviceType type, Recorder recorder);

/// Records what `work` asks of `device`. Nothing of it is done; tensors that it makes have no
/// content until the first replay, and stay where they are as long as the recording lives. `work`
/// must ask for the same each time: it may neither look at a result nor touch memory of the host.
/// Throws: DeviceError where the device cannot record at all, or not this; then all is as before.
[[nodiscard]] std::unique_ptr<Recording> record(at::Device device,
                                                const std::function<void()>& work);

}  // namespace atelier::device
