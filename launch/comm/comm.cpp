#include "launch/comm/comm.h"

#include <cstring>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::comm {

std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return 4;
    case DType::kFloat64:
    case DType::kInt64:
      return 8;
    case DType::kBFloat16:
      return 2;
    case DType::kUInt8:
      return 1;
  }
  fail_check("dtype", "unknown dtype");
}

std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "float32";
    case DType::kFloat64:
      return "float64";
    case DType::kBFloat16:
      return "bfloat16";
    case DType::kInt64:
      return "int64";
    case DType::kUInt8:
      return "uint8";
  }
  fail_check("dtype", "unknown dtype");
}

void check_copy(ConstBuffer from, ConstBuffer to) {
  ATELIER_CHECK(from.dtype == to.dtype && from.count == to.count,
                text("a copy of ", name_of(from.dtype), " x ", from.count, " into ",
                     name_of(to.dtype), " x ", to.count));
  ATELIER_CHECK((from.data != nullptr && to.data != nullptr) || from.count == 0, "null data");
}

void Comm::copy(ConstBuffer from, Buffer to, const CallOptions&) {
  check_copy(from, to);
  ATELIER_CHECK(from.place == Place::kHost && to.place == Place::kHost,
                "this communicator moves host memory only");
  finish_started();
  if (from.count > 0) std::memcpy(to.data, from.data, from.bytes());
}

void Comm::replay(std::size_t, const std::function<void()>& launch, const CallOptions&) {
  launch();
}

}  // namespace atelier::comm
