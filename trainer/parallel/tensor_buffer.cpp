#include "trainer/parallel/tensor_buffer.h"

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::parallel {

comm::DType dtype_of(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return comm::DType::kFloat32;
    case at::kDouble:
      return comm::DType::kFloat64;
    case at::kBFloat16:
      return comm::DType::kBFloat16;
    case at::kLong:
      return comm::DType::kInt64;
    case at::kByte:
      return comm::DType::kUInt8;
    default:
      fail_check("dtype", text("no collective moves tensors of type ", c10::toString(type)));
  }
}

comm::Buffer buffer_of(const at::Tensor& tensor) {
  ATELIER_CHECK(tensor.is_contiguous(), "collectives move contiguous tensors");
  return {.data = tensor.data_ptr(),
          .count = static_cast<std::size_t>(tensor.numel()),
          .dtype = dtype_of(tensor.scalar_type()),
          .place = tensor.is_cuda() ? comm::Place::kCuda : comm::Place::kHost};
}

}  // namespace atelier::parallel
