#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <string_view>

#include "data/import/array_file.h"
#include "data/import/class_folders.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kMostHeader = std::size_t{1} << 20U;

Number number_of(std::string_view descr) {
  static const std::map<std::string_view, Number> kNumbers{
      {"|b1", Number::kBool}, {"|u1", Number::kU8},  {"|i1", Number::kI8},  {"<u2", Number::kU16},
      {"<i2", Number::kI16},  {"<u4", Number::kU32}, {"<i4", Number::kI32}, {"<u8", Number::kU64},
      {"<i8", Number::kI64},  {"<f4", Number::kF32}, {"<f8", Number::kF64}};
  const auto found = kNumbers.find(descr);
  return found == kNumbers.end() ? Number::kOther : found->second;
}

/// The header is a Python dictionary: {'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }.
/// What follows a key, or nothing.
std::string_view value_of(std::string_view header, std::string_view key) {
  const std::size_t at = header.find(text("'", key, "':"));
  if (at == std::string_view::npos) return {};
  std::string_view value = header.substr(at + key.size() + 3);
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  return value;
}

std::vector<std::uint64_t> shape_of(std::string_view value) {
  std::vector<std::uint64_t> shape;
  if (value.empty() || value.front() != '(') throw DataError("its header has no shape");
  value.remove_prefix(1);
  for (;;) {
    value.remove_prefix(std::min(value.find_first_not_of(", "), value.size()));
    if (value.empty()) throw DataError("its header has no end of a shape");
    if (value.front() == ')') return shape;
    std::uint64_t side = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), side);
    if (error != std::errc()) throw DataError("its header has a side that is no number");
    shape.push_back(side);
    value.remove_prefix(static_cast<std::size_t>(end - value.data()));
  }
}

// Leaves `stream` at the first element. Arrays of other kinds (records, Python objects, columns
// first) are kOther.
ArrayInfo read_header(ByteStream& stream) {
  std::array<unsigned char, 8> begin{};
  read_exactly(stream, std::as_writable_bytes(std::span(begin)));
  if (std::string_view(reinterpret_cast<const char*>(begin.data()), kMagic.size()) != kMagic)
    throw DataError("it is no npy file");
  std::array<unsigned char, 4> length{};
  const std::size_t width = begin[6] == 1 ? 2 : 4;
  read_exactly(stream, std::as_writable_bytes(std::span(length).first(width)));
  std::size_t bytes = 0;  // the lowest byte comes first
  for (std::size_t i = width; i-- > 0;) bytes = bytes << 8U | length.at(i);
  if (bytes > kMostHeader) throw DataError("its header is too long");
  std::string header(bytes, ' ');
  read_exactly(stream, std::as_writable_bytes(std::span(header)));
  ArrayInfo info;
  info.shape = shape_of(value_of(header, "shape"));
  const std::string_view descr = value_of(header, "descr");
  const bool plain =
      value_of(header, "fortran_order").substr(0, 5) == "False" || info.shape.size() < 2;
  if (plain && !descr.empty() && descr.front() == '\'') {
    info.number = number_of(descr.substr(1, descr.find('\'', 1) - 1));
  }
  return info;
}

bool is_npy(const std::string& name) {
  return extension_of(name) == ".npy" && kind_of_name(name) != NameKind::kHidden;
}

class NpyFiles final : public ArrayFile {
 public:
  explicit NpyFiles(ListedFiles listed) : listed_(std::move(listed)) {}

  std::vector<ArrayInfo> arrays() override {
    std::vector<bool> wanted(listed_.names.size());
    std::transform(listed_.names.begin(), listed_.names.end(), wanted.begin(), is_npy);
    std::vector<ArrayInfo> found;
    positions_.clear();
    listed_.files->visit(wanted, [&](std::size_t position, ByteStream& content) {
      const std::string& name = listed_.names[position];
      found.push_back(about(name, [&] {
        ArrayInfo info = read_header(content);
        info.name = name.substr(0, name.size() - 4);
        if (info.number != Number::kOther) require_bytes(content, info.bytes());
        return info;
      }));
      positions_.push_back(position);
      return true;
    });
    return found;
  }

  void read(std::size_t array, const Use& use) override {
    std::vector<bool> wanted(listed_.names.size());
    wanted.at(positions_.at(array)) = true;
    listed_.files->visit(wanted, [&](std::size_t /*position*/, ByteStream& content) {
      static_cast<void>(read_header(content));
      use(content);
      return false;
    });
  }

  std::vector<std::string> others() override { return without(listed_.names, positions_); }

 private:
  ListedFiles listed_;
  std::vector<std::size_t> positions_;
};

}  // namespace

std::unique_ptr<ArrayFile> open_npy(ListedFiles& listed) {
  if (std::none_of(listed.names.begin(), listed.names.end(), is_npy)) return nullptr;
  return std::make_unique<NpyFiles>(std::move(listed));
}

}  // namespace atelier::data
