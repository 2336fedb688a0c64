// NCCL and the CUDA runtime behind seams, so that code using them runs in tests on fakes. They
// hold what is used so far: versions and devices. A build without CUDA links no_nccl.cpp, where
// the factory says so. Thread safety: all implementations may be shared.
#pragma once

#include <memory>
#include <string>

namespace atelier::comm {

/// One function per C function of the library; an int result is its error code, 0 for success.
class NcclApi {
 public:
  virtual ~NcclApi() = default;
  [[nodiscard]] virtual int get_version(int& version) const = 0;
  [[nodiscard]] virtual int header_version() const = 0;  ///< NCCL_VERSION_CODE it was compiled with
  [[nodiscard]] virtual std::string error_text(int code) const = 0;
};

class CudaApi {
 public:
  virtual ~CudaApi() = default;
  [[nodiscard]] virtual int get_device_count(int& count) const = 0;
  [[nodiscard]] virtual int get_runtime_version(int& version) const = 0;
  [[nodiscard]] virtual std::string error_text(int code) const = 0;
};

struct DeviceApis {
  std::unique_ptr<NcclApi> nccl;
  std::unique_ptr<CudaApi> cuda;
};

/// Whether this program was built with CUDA and NCCL.
[[nodiscard]] bool built_with_cuda();

/// The real libraries. Throws: RefusedError in a build without CUDA.
[[nodiscard]] DeviceApis make_device_apis();

/// "2.28.9". Throws: DeviceError when the library loaded is not the one compiled against.
[[nodiscard]] std::string nccl_version(const NcclApi& nccl);

/// "13.0". Throws: DeviceError.
[[nodiscard]] std::string cuda_version(const CudaApi& cuda);

/// Devices this process may use. Throws: DeviceError with CUDA's reason when there are none.
[[nodiscard]] int device_count(const CudaApi& cuda);

}  // namespace atelier::comm
