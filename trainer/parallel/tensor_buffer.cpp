#include "trainer/parallel/tensor_buffer.h"

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "trainer/device/device.h"

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

comm::CallOptions call_options(const at::Tensor& tensor, std::string_view label) {
  return {.stream = device::current_stream(tensor.device()), .label = label};
}

comm::Buffer buffer_of(const at::Tensor& tensor) {
  ATELIER_CHECK(tensor.is_contiguous(), "collectives move contiguous tensors");
  return {.data = tensor.data_ptr(),
          .count = static_cast<std::size_t>(tensor.numel()),
          .dtype = dtype_of(tensor.scalar_type()),
          .place = tensor.is_cpu() ? comm::Place::kHost : comm::Place::kCuda};
}

}  // namespace atelier::parallel
