#include "tests/gpu/comm/gpu_memory.h"

namespace atelier::comm {

std::unique_ptr<GpuMemory> make_gpu_memory() { return nullptr; }

}  // namespace atelier::comm
