// What is asked of NCCL and CUDA before a communicator is made, and the one place that turns their
// codes into errors. Thread safety: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "launch/comm/nccl.h"

namespace atelier::comm {

/// "2.28.9". Throws: DeviceError when the library loaded is not the one compiled against.
[[nodiscard]] std::string nccl_version(const NcclApi& nccl);

/// "13.0". Throws: DeviceError.
[[nodiscard]] std::string cuda_version(const CudaApi& cuda);
/// That the program was compiled with.
[[nodiscard]] std::string cuda_built_version(const CudaApi& cuda);
/// Highest CUDA version that the driver serves; "0.0" without a driver. Throws: DeviceError.
[[nodiscard]] std::string driver_version(const CudaApi& cuda);

/// Devices this process may use. Throws: DeviceError with CUDA's reason when there are none.
[[nodiscard]] int device_count(const CudaApi& cuda);

/// "ncclAllReduce failed: unhandled system error (2); NCCL says: socket closed".
[[nodiscard]] std::string describe_nccl(const NcclApi& nccl, NcclHandle comm, int code,
                                        std::string_view what);

/// Throws: DeviceError unless `code` is success.
void check_cuda(const CudaApi& cuda, int code, std::string_view what);

}  // namespace atelier::comm
