#include "launch/base/error.h"
#include "launch/comm/nccl.h"

namespace atelier::comm {

bool built_with_cuda() { return false; }

DeviceApis make_device_apis() {
  throw RefusedError("This program was built without CUDA and NCCL.",
                     "Build it with ATELIER_WITH_CUDA=ON, or use the CPU.");
}

}  // namespace atelier::comm
