#include "launch/comm/device_copy.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "launch/base/text.h"

namespace atelier::comm {
namespace {

std::byte* place(void* memory, std::size_t offset) {
  return static_cast<std::byte*>(memory) + offset;
}

}  // namespace

DeviceCopy::DeviceCopy(std::shared_ptr<CudaApi> cuda, Check check)
    : cuda_(std::move(cuda)), check_(std::move(check)) {
  check_(cuda_->stream_create(stream_), "cudaStreamCreateWithPriority");
  check_(cuda_->event_create(done_), "cudaEventCreateWithFlags");
  check_(cuda_->host_alloc(piece_, kPieceBytes),
         text("cudaHostAlloc of ", human_bytes(kPieceBytes)));
}

void DeviceCopy::copy(Side from, Side to, std::size_t bytes, const Wait& wait) {
  if (bytes == 0) return;
  if (!from.on_device && !to.on_device) {
    std::memcpy(to.memory, from.memory, bytes);
    return;
  }
  wait(done_);  // a copy that was given up may still use the piece
  if (from.on_device && to.on_device) return move(to.memory, from.memory, bytes, wait);
  for (std::size_t offset = 0; offset < bytes; offset += kPieceBytes) {
    const std::size_t size = std::min(kPieceBytes, bytes - offset);
    if (to.on_device) {
      std::memcpy(piece_, place(from.memory, offset), size);
      move(place(to.memory, offset), piece_, size, wait);
    } else {
      move(piece_, place(from.memory, offset), size, wait);
      std::memcpy(place(to.memory, offset), piece_, size);
    }
  }
}

void DeviceCopy::move(void* to, const void* from, std::size_t bytes, const Wait& wait) {
  check_(cuda_->memcpy_async(to, from, bytes, stream_),
         text("cudaMemcpyAsync of ", human_bytes(bytes)));
  check_(cuda_->event_record(done_, stream_), "cudaEventRecord");
  wait(done_);
}

void DeviceCopy::close() {
  check_(cuda_->event_destroy(done_), "cudaEventDestroy");
  check_(cuda_->stream_destroy(stream_), "cudaStreamDestroy");
  check_(cuda_->host_free(piece_), "cudaFreeHost");
}

}  // namespace atelier::comm
