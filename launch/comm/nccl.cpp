#include "launch/comm/nccl.h"

#include <cuda_runtime_api.h>
#include <nccl.h>

namespace atelier::comm {
namespace {

class RealNccl final : public NcclApi {
 public:
  int get_version(int& version) const override { return ncclGetVersion(&version); }
  int header_version() const override { return NCCL_VERSION_CODE; }
  std::string error_text(int code) const override {
    return ncclGetErrorString(static_cast<ncclResult_t>(code));
  }
};

class RealCuda final : public CudaApi {
 public:
  int get_device_count(int& count) const override { return cudaGetDeviceCount(&count); }
  int get_runtime_version(int& version) const override { return cudaRuntimeGetVersion(&version); }
  std::string error_text(int code) const override {
    return cudaGetErrorString(static_cast<cudaError_t>(code));
  }
};

}  // namespace

bool built_with_cuda() { return true; }

DeviceApis make_device_apis() {
  return {.nccl = std::make_unique<RealNccl>(), .cuda = std::make_unique<RealCuda>()};
}

}  // namespace atelier::comm
