#include "tests/gpu/comm/gpu_memory.h"

#include <stdexcept>
#include <string>
#include <vector>

#include <cuda_runtime_api.h>

namespace atelier::comm {
namespace {

void check(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(code));
}

class CudaMemory final : public GpuMemory {
 public:
  ~CudaMemory() override = default;  // what is left goes with the process
  void* allocate(std::size_t bytes) override {
    void* memory = nullptr;
    check(cudaMalloc(&memory, bytes), "cudaMalloc");
    return memory;
  }
  void free(void* memory) override { freed_.push_back(memory); }
  void reclaim() override {
    for (void* const memory : freed_) check(cudaFree(memory), "cudaFree");
    freed_.clear();
  }
  // On the default stream, behind the calls whose results are read.
  void write(void* to, const std::byte* from, std::size_t bytes) override {
    check(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice), "cudaMemcpy to the device");
  }
  void read(std::byte* to, const void* from, std::size_t bytes) override {
    check(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost), "cudaMemcpy from the device");
  }

 private:
  std::vector<void*> freed_;
};

}  // namespace

std::unique_ptr<GpuMemory> make_gpu_memory() { return std::make_unique<CudaMemory>(); }

}  // namespace atelier::comm
