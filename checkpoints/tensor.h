// Tensors as a checkpoint sees them: a name, an element type, a shape and bytes (C order, little
// endian, no strides). No torch here: whoever owns the tensors hands out views of their memory.
// Thread safety: values and pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace atelier::checkpoints {

/// Element types of a safetensors file, ascending as that format orders them (by size first).
enum class DType : std::uint8_t {
  kBool,
  kU8,
  kI8,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kF64,
  kI64,
  kU64,
};

/// Units: bytes per element.
[[nodiscard]] std::size_t size_of(DType dtype);

/// The name in the file: "F32".
[[nodiscard]] std::string_view name_of(DType dtype);

[[nodiscard]] std::optional<DType> dtype_of(std::string_view name);

/// Name, type and shape without the bytes.
struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  bool operator==(const TensorSpec&) const = default;
};

/// Memory of somebody else. Lifetime: of that memory.
struct TensorView : TensorSpec {
  std::span<const std::byte> bytes;
};

/// A tensor that owns its bytes.
struct TensorData : TensorSpec {
  std::vector<std::byte> bytes;
};

/// Bytes a tensor of this shape holds; nothing when a size is negative or the product exceeds
/// 64 bits.
[[nodiscard]] std::optional<std::uint64_t> byte_count(const TensorSpec& spec);

/// {64, 3} → "64,3" with separator ",".
[[nodiscard]] std::string join_sizes(std::span<const std::int64_t> shape,
                                     std::string_view separator);

/// "F32 [64, 3, 4, 4]".
[[nodiscard]] std::string describe(const TensorSpec& spec);

/// Empty when both hold the same names, types and shapes; else the first five differences, by
/// name, one a line, and how many there are in all.
[[nodiscard]] std::string compare_shapes(std::span<const TensorSpec> expected,
                                         std::span<const TensorSpec> found);

/// The specs of views or data.
template <typename Tensors>
[[nodiscard]] std::vector<TensorSpec> specs_of(const Tensors& tensors) {
  return std::vector<TensorSpec>(tensors.begin(), tensors.end());
}

}  // namespace atelier::checkpoints
