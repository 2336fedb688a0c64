// CUDA graphs, by LibTorch's own class for them, which knows its allocator. A library of its own
// that device::record() loads: programs are not linked to LibTorch's part for CUDA.
#include <exception>

#include <ATen/cuda/CUDAGraph.h>

#include "trainer/device/recording.h"

namespace atelier::device {
namespace {

class CudaRecording final : public Recording {
 public:
  explicit CudaRecording(const std::function<void()>& work) {
    // Shared by all recordings: what one has freed, another may use, as they never run at once.
    static const auto pool = at::cuda::graph_pool_handle();
    // Other threads (the loader, the watcher of NCCL) go on asking CUDA for what a capture forbids.
    graph_.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    try {
      work();
    } catch (...) {
      give_up();
      throw;
    }
    graph_.capture_end();
  }

  void replay() override { graph_.replay(); }

 private:
  void give_up() {
    try {
      graph_.capture_end();
    } catch (const std::exception&) {  // a capture that went wrong says so once more
    }
  }

  at::cuda::CUDAGraph graph_;
};

}  // namespace
}  // namespace atelier::device

extern "C" atelier::device::Recording* atelier_record_on_cuda(const std::function<void()>& work) {
  return new atelier::device::CudaRecording(work);
}
