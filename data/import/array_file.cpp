#include "data/import/array_file.h"

#include <algorithm>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {

std::size_t width_of(Number number) {
  switch (number) {
    case Number::kBool:
    case Number::kU8:
    case Number::kI8:
      return 1;
    case Number::kU16:
    case Number::kI16:
      return 2;
    case Number::kU32:
    case Number::kI32:
    case Number::kF32:
      return 4;
    case Number::kU64:
    case Number::kI64:
    case Number::kF64:
      return 8;
    case Number::kOther:
      return 0;
  }
  return 0;
}

std::uint64_t ArrayInfo::bytes() const {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 50U;
  std::uint64_t bytes = width_of(number);
  for (const std::uint64_t side : shape) {
    if (side != 0 && bytes > kMost / side)
      throw DataError(text("The array '", name, "' states sizes that no file holds."));
    bytes *= side;
  }
  return bytes;
}

std::vector<std::string> without(const std::vector<std::string>& names,
                                 const std::vector<std::size_t>& positions) {
  std::vector<std::string> left;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (std::find(positions.begin(), positions.end(), i) == positions.end())
      left.push_back(names[i]);
  }
  return left;
}

void require_bytes(ByteStream& stream, std::uint64_t bytes) {
  std::vector<std::byte> piece(std::size_t{1} << 16U);
  std::uint64_t found = 0;
  for (;;) {
    const std::size_t got = stream.read(piece);
    found += got;
    if (got < piece.size() || found > bytes) break;
  }
  if (found == bytes) return;
  throw DataError(text("its header states ", bytes, " bytes of elements, it holds ",
                       found > bytes ? "more" : text(found)));
}

}  // namespace atelier::data
