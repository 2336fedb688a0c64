#include "launch/comm/nccl.h"

#include <cstring>

#include <cuda_runtime_api.h>
#include <nccl.h>

namespace atelier::comm {
namespace {

ncclComm_t comm_of(NcclHandle comm) { return static_cast<ncclComm_t>(comm); }
cudaStream_t stream_of(CudaStream stream) { return static_cast<cudaStream_t>(stream); }
cudaEvent_t event_of(CudaEvent event) { return static_cast<cudaEvent_t>(event); }

ncclDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return ncclFloat32;
    case DType::kFloat64:
      return ncclFloat64;
    case DType::kBFloat16:
      return ncclBfloat16;
    case DType::kInt64:
      return ncclInt64;
    case DType::kUInt8:
      return ncclUint8;
  }
  return ncclNumTypes;  // NCCL refuses it
}

ncclRedOp_t op_of(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return ncclSum;
    case ReduceOp::kMin:
      return ncclMin;
    case ReduceOp::kMax:
      return ncclMax;
  }
  return ncclNumOps;  // NCCL refuses it
}

class RealNccl final : public NcclApi {
 public:
  int get_version(int& version) const override { return ncclGetVersion(&version); }
  int header_version() const override { return NCCL_VERSION_CODE; }
  std::string error_text(int code) const override {
    return ncclGetErrorString(static_cast<ncclResult_t>(code));
  }
  std::string last_error(NcclHandle comm) const override {
    const char* const text = ncclGetLastError(comm_of(comm));
    return text != nullptr ? text : "";
  }

  int get_unique_id(NcclId& id) override {
    ncclUniqueId made;
    static_assert(sizeof(made) == sizeof(id));
    const int code = ncclGetUniqueId(&made);
    std::memcpy(id.data(), &made, sizeof(made));
    return code;
  }
  int comm_init_rank(NcclHandle& comm, int world, const NcclId& id, int rank) override {
    ncclUniqueId shared;
    std::memcpy(&shared, id.data(), sizeof(shared));
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    config.commName = "atelier";
    ncclComm_t made = nullptr;
    const int code = ncclCommInitRankConfig(&made, world, shared, rank, &config);
    comm = made;
    return code;
  }
  int comm_get_async_error(NcclHandle comm, int& state) override {
    ncclResult_t now = ncclSuccess;
    const int code = ncclCommGetAsyncError(comm_of(comm), &now);
    state = now;
    return code;
  }
  int comm_finalize(NcclHandle comm) override { return ncclCommFinalize(comm_of(comm)); }
  int comm_destroy(NcclHandle comm) override { return ncclCommDestroy(comm_of(comm)); }
  int comm_abort(NcclHandle comm) override { return ncclCommAbort(comm_of(comm)); }

  // NOLINTBEGIN(readability-function-size): the parameters are those of the C functions
  int all_reduce(const void* in, void* out, std::size_t count, DType dtype, ReduceOp op,
                 NcclHandle comm, CudaStream stream) override {
    return ncclAllReduce(in, out, count, type_of(dtype), op_of(op), comm_of(comm),
                         stream_of(stream));
  }
  int reduce_scatter(const void* in, void* out, std::size_t count, DType dtype, ReduceOp op,
                     NcclHandle comm, CudaStream stream) override {
    return ncclReduceScatter(in, out, count, type_of(dtype), op_of(op), comm_of(comm),
                             stream_of(stream));
  }
  int all_gather(const void* in, void* out, std::size_t count, DType dtype, NcclHandle comm,
                 CudaStream stream) override {
    return ncclAllGather(in, out, count, type_of(dtype), comm_of(comm), stream_of(stream));
  }
  int broadcast(const void* in, void* out, std::size_t count, DType dtype, int root,
                NcclHandle comm, CudaStream stream) override {
    return ncclBroadcast(in, out, count, type_of(dtype), root, comm_of(comm), stream_of(stream));
  }
  // NOLINTEND(readability-function-size)
  int mem_alloc(void*& memory, std::size_t bytes) override { return ncclMemAlloc(&memory, bytes); }
  int mem_free(void* memory) override { return ncclMemFree(memory); }
};

class RealCuda final : public CudaApi {
 public:
  int get_device_count(int& count) const override { return cudaGetDeviceCount(&count); }
  int get_runtime_version(int& version) const override { return cudaRuntimeGetVersion(&version); }
  int get_driver_version(int& version) const override { return cudaDriverGetVersion(&version); }
  int header_version() const override { return CUDART_VERSION; }
  std::string error_text(int code) const override {
    return cudaGetErrorString(static_cast<cudaError_t>(code));
  }

  int set_device(int device) override { return cudaSetDevice(device); }
  int get_bus_id(int device, std::string& id) const override {
    std::array<char, 32> text{};
    const int code = cudaDeviceGetPCIBusId(text.data(), static_cast<int>(text.size()), device);
    id = text.data();
    return code;
  }
  int get_device_properties(int device, DeviceProperties& properties) const override {
    cudaDeviceProp found{};
    const int code = cudaGetDeviceProperties(&found, device);
    if (code != 0) return code;
    found.name[sizeof(found.name) - 1] = '\0';
    properties = {.name = found.name,
                  .major = found.major,
                  .minor = found.minor,
                  .total_bytes = found.totalGlobalMem};
    return code;
  }
  int can_access_peer(bool& can, int device, int peer) const override {
    int answer = 0;
    const int code = cudaDeviceCanAccessPeer(&answer, device, peer);
    can = code == 0 && answer == 1;
    return code;
  }
  int mem_get_info(std::size_t& free, std::size_t& total) const override {
    return cudaMemGetInfo(&free, &total);
  }
  int stream_create(CudaStream& stream) override {
    int least = 0;
    int greatest = 0;
    if (const int code = cudaDeviceGetStreamPriorityRange(&least, &greatest); code != 0)
      return code;
    cudaStream_t made = nullptr;
    const int code = cudaStreamCreateWithPriority(&made, cudaStreamNonBlocking, greatest);
    stream = made;
    return code;
  }
  int stream_destroy(CudaStream stream) override { return cudaStreamDestroy(stream_of(stream)); }
  int stream_wait_event(CudaStream stream, CudaEvent event) override {
    return cudaStreamWaitEvent(stream_of(stream), event_of(event), 0);
  }
  int event_create(CudaEvent& event) override {
    cudaEvent_t made = nullptr;
    const int code = cudaEventCreateWithFlags(&made, cudaEventDisableTiming);
    event = made;
    return code;
  }
  int event_record(CudaEvent event, CudaStream stream) override {
    return cudaEventRecord(event_of(event), stream_of(stream));
  }
  int event_query(CudaEvent event) override { return cudaEventQuery(event_of(event)); }
  int event_destroy(CudaEvent event) override { return cudaEventDestroy(event_of(event)); }
  int memset_async(void* memory, int value, std::size_t bytes, CudaStream stream) override {
    return cudaMemsetAsync(memory, value, bytes, stream_of(stream));
  }
  int memcpy_async(void* to, const void* from, std::size_t bytes, CudaStream stream) override {
    return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_of(stream));
  }
  int host_alloc(void*& memory, std::size_t bytes) override {
    return cudaHostAlloc(&memory, bytes, cudaHostAllocDefault);
  }
  int host_free(void* memory) override { return cudaFreeHost(memory); }
};

}  // namespace

static_assert(kNcclInProgress == ncclInProgress && kCudaNotReady == cudaErrorNotReady);

bool built_with_cuda() { return true; }

DeviceApis make_device_apis() {
  return {.nccl = std::make_shared<RealNccl>(), .cuda = std::make_shared<RealCuda>()};
}

}  // namespace atelier::comm
