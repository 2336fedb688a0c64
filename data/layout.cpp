#include "data/layout.h"

#include <algorithm>

#include "launch/base/random.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::uint64_t kMaxBlockBytes = 1U << 20U;
constexpr std::array<std::string_view, 3> kSplitNames{"train", "valid", "test"};
constexpr std::array<std::string_view, 5> kElementNames{"u8", "i64", "u64", "f32", "text"};
constexpr std::array<std::uint64_t, 5> kElementBytes{1, 8, 8, 4, 1};

std::string five_digits(std::uint64_t number) {
  std::string digits = text(number);
  return digits.size() < 5 ? std::string(5 - digits.size(), '0') + digits : digits;
}

}  // namespace

std::string ImageShape::name() const { return text(height, "x", width, "x", channels); }

std::string_view split_name(Split split) { return kSplitNames.at(index_of(split)); }

std::optional<Split> split_from_name(std::string_view name) {
  for (const Split split : kSplits)
    if (split_name(split) == name) return split;
  return std::nullopt;
}

bool held_out(std::uint64_t id) {
  constexpr std::uint64_t kOneIn = 20;
  return uniform_below({.seed = 0, .stream = Stream::kSplit, .major = 0, .minor = id}, kOneIn) == 0;
}

std::string_view element_name(Element element) {
  return kElementNames.at(static_cast<std::size_t>(element));
}

std::optional<Element> element_from_name(std::string_view name) {
  const auto* found = std::find(kElementNames.begin(), kElementNames.end(), name);
  if (found == kElementNames.end()) return std::nullopt;
  return static_cast<Element>(found - kElementNames.begin());
}

std::uint64_t Table::row_bytes() const {
  std::uint64_t bytes = kElementBytes.at(static_cast<std::size_t>(element));
  for (const std::uint64_t extent : row_shape) bytes *= extent;
  return bytes;
}

std::uint64_t rows_within_block(std::uint64_t row_bytes) {
  const std::uint64_t rows = kMaxBlockBytes / std::max<std::uint64_t>(row_bytes, 1);
  return std::bit_floor(std::max<std::uint64_t>(rows, 1));
}

std::uint64_t Table::block_rows() const {
  return fewer_rows > 0 ? fewer_rows : rows_within_block(row_bytes());
}

std::uint64_t Table::blocks(std::uint64_t rows) const {
  return (rows + block_rows() - 1) / block_rows();
}

std::vector<Table> required_tables(const ImageShape& shape) {
  const auto extent = [](int side) { return static_cast<std::uint64_t>(side); };
  return {
      {"images", Element::kU8, {extent(shape.height), extent(shape.width), extent(shape.channels)}},
      {"labels", Element::kI64, {}},
      {"ids", Element::kU64, {}}};
}

Table ends_table() { return {"ends", Element::kU64, {}}; }

std::string shard_file_name(Split split, std::uint64_t index, std::uint64_t count) {
  return text(split_name(split), "-", five_digits(index), "-of-", five_digits(count), ".h5");
}

}  // namespace atelier::data
