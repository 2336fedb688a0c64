// NCCL and the CUDA runtime behind seams, one function per C function that is used, so that what
// uses them runs in tests on fakes (tests/support/fake_gpu). NCCL_CALLS.md tells of each call
// whether it may block and what a dead peer does to it. A build without CUDA links no_nccl.cpp,
// where the factory says so. An int result is the library's code, 0 for success.
// Thread safety: as the libraries: anything at once, but one communicator takes calls from one
// thread at a time, get_async_error and abort from any.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>

#include "launch/comm/comm.h"

namespace atelier::comm {

/// Codes that are told apart.
inline constexpr int kNcclInProgress = 7;
inline constexpr int kCudaNotReady = 600;

using NcclId = std::array<char, 128>;
using NcclHandle = void*;  ///< ncclComm_t
using CudaStream = void*;
using CudaEvent = void*;

class NcclApi {
 public:
  virtual ~NcclApi() = default;
  [[nodiscard]] virtual int get_version(int& version) const = 0;
  [[nodiscard]] virtual int header_version() const = 0;  ///< NCCL_VERSION_CODE it was compiled with
  [[nodiscard]] virtual std::string error_text(int code) const = 0;
  [[nodiscard]] virtual std::string last_error(NcclHandle comm) const = 0;  ///< may be empty

  [[nodiscard]] virtual int get_unique_id(NcclId& id) = 0;
  /// Non-blocking: kNcclInProgress, until get_async_error tells how it went.
  [[nodiscard]] virtual int comm_init_rank(NcclHandle& comm, int world, const NcclId& id,
                                           int rank) = 0;
  [[nodiscard]] virtual int comm_get_async_error(NcclHandle comm, int& state) = 0;
  [[nodiscard]] virtual int comm_finalize(NcclHandle comm) = 0;
  [[nodiscard]] virtual int comm_destroy(NcclHandle comm) = 0;
  [[nodiscard]] virtual int comm_abort(NcclHandle comm) = 0;

  [[nodiscard]] virtual int all_reduce(const void* in, void* out, std::size_t count, DType dtype,
                                       ReduceOp op, NcclHandle comm, CudaStream stream) = 0;
  /// `count` elements leave for each rank.
  [[nodiscard]] virtual int reduce_scatter(const void* in, void* out, std::size_t count,
                                           DType dtype, ReduceOp op, NcclHandle comm,
                                           CudaStream stream) = 0;
  /// `count` elements come from each rank.
  [[nodiscard]] virtual int all_gather(const void* in, void* out, std::size_t count, DType dtype,
                                       NcclHandle comm, CudaStream stream) = 0;
  [[nodiscard]] virtual int broadcast(const void* in, void* out, std::size_t count, DType dtype,
                                      int root, NcclHandle comm, CudaStream stream) = 0;
  [[nodiscard]] virtual int mem_alloc(void*& memory, std::size_t bytes) = 0;
  [[nodiscard]] virtual int mem_free(void* memory) = 0;
};

struct DeviceProperties {
  std::string name = {};
  int major = 0;  ///< compute capability
  int minor = 0;
  std::size_t total_bytes = 0;
};

class CudaApi {
 public:
  virtual ~CudaApi() = default;
  [[nodiscard]] virtual int get_device_count(int& count) const = 0;
  [[nodiscard]] virtual int get_runtime_version(int& version) const = 0;
  [[nodiscard]] virtual int get_driver_version(int& version) const = 0;
  [[nodiscard]] virtual int header_version() const = 0;  ///< CUDART_VERSION it was compiled with
  [[nodiscard]] virtual std::string error_text(int code) const = 0;
  /// Whether programs may read and write the device's memory as their own: in tests of sums alone.
  [[nodiscard]] virtual bool host_can_touch() const { return false; }

  [[nodiscard]] virtual int set_device(int device) = 0;
  /// "0000:17:00.0"
  [[nodiscard]] virtual int get_bus_id(int device, std::string& id) const = 0;
  [[nodiscard]] virtual int get_device_properties(int device,
                                                  DeviceProperties& properties) const = 0;
  /// Whether `device` can read and write the memory of `peer` directly.
  [[nodiscard]] virtual int can_access_peer(bool& can, int device, int peer) const = 0;
  /// Of the device that was set.
  [[nodiscard]] virtual int mem_get_info(std::size_t& free, std::size_t& total) const = 0;
  /// Of the highest priority, not waiting for the default stream.
  [[nodiscard]] virtual int stream_create(CudaStream& stream) = 0;
  [[nodiscard]] virtual int stream_destroy(CudaStream stream) = 0;
  [[nodiscard]] virtual int stream_wait_event(CudaStream stream, CudaEvent event) = 0;
  /// Without timing.
  [[nodiscard]] virtual int event_create(CudaEvent& event) = 0;
  [[nodiscard]] virtual int event_record(CudaEvent event, CudaStream stream) = 0;
  /// 0 once it has passed, kCudaNotReady before.
  [[nodiscard]] virtual int event_query(CudaEvent event) = 0;
  [[nodiscard]] virtual int event_destroy(CudaEvent event) = 0;
  [[nodiscard]] virtual int memset_async(void* memory, int value, std::size_t bytes,
                                         CudaStream stream) = 0;
  /// Either may lie on the host or on a device; does not hold the caller up where those on the host
  /// are of host_alloc.
  [[nodiscard]] virtual int memcpy_async(void* to, const void* from, std::size_t bytes,
                                         CudaStream stream) = 0;
  /// Page-locked memory.
  [[nodiscard]] virtual int host_alloc(void*& memory, std::size_t bytes) = 0;
  [[nodiscard]] virtual int host_free(void* memory) = 0;
};

struct DeviceApis {
  std::shared_ptr<NcclApi> nccl;
  std::shared_ptr<CudaApi> cuda;
};

/// Whether this program was built with CUDA and NCCL.
[[nodiscard]] bool built_with_cuda();

/// The real libraries. Throws: RefusedError in a build without CUDA.
[[nodiscard]] DeviceApis make_device_apis();

}  // namespace atelier::comm
