// CUDA graphs, by LibTorch's own class for them, which knows its allocator. A library of its own
// that device::record() loads: programs are not linked to LibTorch's part for CUDA.
#include <memory>

#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>

#include "trainer/device/recording.h"

namespace atelier::device {
namespace {

// Memory that recordings share: what one has freed, another may use, as they never run at once and
// what one leaves is read before the next runs. LibTorch's allocator knows it as long as one lives.
struct Pool {
  c10::MempoolId_t id = at::cuda::graph_pool_handle();
};

class CudaRecording final : public Recording {
 public:
  explicit CudaRecording(const std::function<void()>& work) : pool_(current_pool().lock()) {
    if (!pool_) current_pool() = pool_ = std::make_shared<Pool>();
    // Other threads (the loader, the watcher of NCCL) go on asking CUDA for what a capture forbids.
    graph_.capture_begin(pool_->id, cudaStreamCaptureModeThreadLocal);
    try {
      work();
      graph_.capture_end();
    } catch (...) {
      give_up();
      throw;
    }
  }

  void replay() override { graph_.replay(); }

 private:
  static std::weak_ptr<Pool>& current_pool() {
    static std::weak_ptr<Pool> pool;
    return pool;
  }

  // capture_end() leaves where the capture has failed, before it tells the allocator, which would
  // go on keeping memory back for it.
  void give_up() {
    try {
      graph_.capture_end();
    } catch (const c10::Error&) {
      const c10::DeviceIndex device = at::cuda::current_device();
      try {
        c10::cuda::CUDACachingAllocator::endAllocateToPool(device, pool_->id);
        c10::cuda::CUDACachingAllocator::releasePool(device, pool_->id);
      } catch (const c10::Error&) {  // it knew already
      }
    }
    current_pool().reset();  // the next recording begins with memory of its own
  }

  std::shared_ptr<Pool> pool_;  // before the graph: it goes later
  at::cuda::CUDAGraph graph_;
};

}  // namespace
}  // namespace atelier::device

extern "C" atelier::device::Recording* atelier_record_on_cuda(const std::function<void()>& work) {
  return new atelier::device::CudaRecording(work);
}
