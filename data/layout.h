// What a dataset is made of: image shape, splits, and tables. A table is one contiguous array with
// one row per sample (images, labels, ids, and optional ones); each is cut in blocks of rows, and
// each block carries an XXH3-64 hash. FORMAT.md is the same in words. Thread safety: values.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace atelier::data {

static_assert(std::endian::native == std::endian::little, "shards hold little-endian numbers");

/// Shapes: pixels are uint8 NHWC, row by row from the top left.
struct ImageShape {
  int height = 0;
  int width = 0;
  int channels = 0;
  [[nodiscard]] std::size_t bytes() const {
    return static_cast<std::size_t>(height) * static_cast<std::size_t>(width) *
           static_cast<std::size_t>(channels);
  }
  [[nodiscard]] std::string name() const;  ///< "32x32x3"
  bool operator==(const ImageShape&) const = default;
};

inline constexpr int kMaxImageSide = 16384;  ///< more is refused as damage or attack

enum class Split : std::uint8_t { kTrain, kValid, kTest };
inline constexpr std::array<Split, 3> kSplits{Split::kTrain, Split::kValid, Split::kTest};
[[nodiscard]] std::string_view split_name(Split split);  ///< "train" "valid" "test"
[[nodiscard]] std::optional<Split> split_from_name(std::string_view name);
[[nodiscard]] inline std::size_t index_of(Split split) { return static_cast<std::size_t>(split); }

/// Whether a training image goes to `valid` when the source has none: 5 % by hash of its id.
[[nodiscard]] bool held_out(std::uint64_t id);

enum class Element : std::uint8_t { kU8, kI64, kU64, kF32, kText };
[[nodiscard]] std::string_view element_name(Element element);  ///< "u8" "i64" "u64" "f32" "text"
[[nodiscard]] std::optional<Element> element_from_name(std::string_view name);

struct Table {
  std::string name;
  Element element = Element::kU8;
  std::vector<std::uint64_t> row_shape;  ///< kText: {bytes}, UTF-8 padded with zeros
  /// Rows of a block, where they take more bytes than row_shape says; 0: as it says.
  std::uint64_t fewer_rows = 0;
  [[nodiscard]] std::uint64_t row_bytes() const;
  /// Rows of one hashed block: the largest power of two that keeps a block within 1 MiB.
  [[nodiscard]] std::uint64_t block_rows() const;
  [[nodiscard]] std::uint64_t blocks(std::uint64_t rows) const;
  bool operator==(const Table&) const = default;
};

/// What block_rows() is of rows of so many bytes.
[[nodiscard]] std::uint64_t rows_within_block(std::uint64_t row_bytes);

/// The tables every dataset has, in this order: images, labels (i64), ids (u64).
[[nodiscard]] std::vector<Table> required_tables(const ImageShape& shape);
inline constexpr std::size_t kImages = 0;
inline constexpr std::size_t kLabels = 1;
inline constexpr std::size_t kIds = 2;
/// Where each image ends among the bytes of /images; the last table where images take as many bytes
/// as it happens.
[[nodiscard]] Table ends_table();

/// "train-00000-of-00016.h5".
[[nodiscard]] std::string shard_file_name(Split split, std::uint64_t index, std::uint64_t count);

}  // namespace atelier::data
