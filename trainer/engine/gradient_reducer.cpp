#include "trainer/engine/gradient_reducer.h"

#include <algorithm>

#include "launch/base/text.h"
#include "trainer/parallel/tensor_buffer.h"

namespace atelier::engine {

std::int64_t GradientReducer::sum(const at::Tensor& flat, const std::string& net) const {
  if (comm_->world() == 1) return 0;
  const auto element_bytes = static_cast<std::int64_t>(flat.element_size());
  const std::int64_t step = std::max<std::int64_t>(1, bucket_bytes_ / element_bytes);
  for (std::int64_t begin = 0; begin < flat.numel(); begin += step) {
    const at::Tensor bucket = flat.narrow(0, begin, std::min(step, flat.numel() - begin));
    const std::string label = text("gradients of ", net, ", bucket ", begin / step);
    comm_->all_reduce(parallel::buffer_of(bucket), comm::ReduceOp::kSum, {.label = label});
  }
  return flat.numel() * element_bytes;
}

}  // namespace atelier::engine
