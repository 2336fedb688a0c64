#include "launch/comm/nccl_checks.h"

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::comm {
namespace {

/// NCCL since 2.9 counts 2.28.9 as 22809.
std::string dotted(int version) {
  return text(version / 10000, ".", version / 100 % 100, ".", version % 100);
}

/// CUDA counts 13.0 as 13000.
std::string cuda_dotted(int version) { return text(version / 1000, ".", version % 1000 / 10); }

}  // namespace

std::string nccl_version(const NcclApi& nccl) {
  int version = 0;
  if (const int code = nccl.get_version(version); code != 0) {
    throw DeviceError(text("ncclGetVersion failed: ", nccl.error_text(code), "."),
                      "Check the NCCL library this program loads (ldd).");
  }
  if (version != nccl.header_version()) {
    throw DeviceError(text("NCCL ", dotted(version), " is loaded, but the program was built for ",
                           dotted(nccl.header_version()), "."),
                      "Another libnccl.so.2 comes first; check LD_LIBRARY_PATH.");
  }
  return dotted(version);
}

std::string cuda_version(const CudaApi& cuda) {
  int version = 0;
  check_cuda(cuda, cuda.get_runtime_version(version), "cudaRuntimeGetVersion");
  return cuda_dotted(version);
}

std::string cuda_built_version(const CudaApi& cuda) { return cuda_dotted(cuda.header_version()); }

std::string driver_version(const CudaApi& cuda) {
  int version = 0;
  check_cuda(cuda, cuda.get_driver_version(version), "cudaDriverGetVersion");
  return cuda_dotted(version);
}

int device_count(const CudaApi& cuda) {
  int count = 0;
  const int code = cuda.get_device_count(count);
  if (code != 0 || count == 0) {
    throw DeviceError(text("No CUDA device can be used: ",
                           code != 0 ? cuda.error_text(code) : "none is visible", "."),
                      "Check nvidia-smi and CUDA_VISIBLE_DEVICES, or use the CPU.");
  }
  return count;
}

std::string describe_nccl(const NcclApi& nccl, NcclHandle comm, int code, std::string_view what) {
  const std::string last = nccl.last_error(comm);
  return text(what, " failed: ", nccl.error_text(code), " (", code, ")",
              last.empty() ? "" : text("; NCCL says: ", last));
}

void check_cuda(const CudaApi& cuda, int code, std::string_view what) {
  if (code == 0) return;
  throw DeviceError(text(what, " failed: ", cuda.error_text(code), " (", code, ")."),
                    "See nvidia-smi and the system log (dmesg) of this host.");
}

}  // namespace atelier::comm
