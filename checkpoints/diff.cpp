#include "checkpoints/diff.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "checkpoints/manifest.h"
#include "checkpoints/safetensors.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::checkpoints {
namespace {

template <typename Number>
Number load(const std::byte* from) {
  Number value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

/// IEEE half precision: 1 sign, 5 exponent, 10 fraction bits.
double half_value(std::uint16_t bits) {
  const int exponent = (bits >> 10U) & 31;
  const double fraction = bits & 1023;
  const double sign = (bits & 0x8000U) != 0 ? -1 : 1;
  if (exponent == 31) return fraction == 0 ? sign * HUGE_VAL : std::nan("");
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

double value_at(DType dtype, const std::byte* from) {
  switch (dtype) {
    case DType::kBool:
    case DType::kU8:
      return load<std::uint8_t>(from);
    case DType::kI8:
      return load<std::int8_t>(from);
    case DType::kI16:
      return load<std::int16_t>(from);
    case DType::kU16:
      return load<std::uint16_t>(from);
    case DType::kF16:
      return half_value(load<std::uint16_t>(from));
    case DType::kBF16:
      return std::bit_cast<float>(std::uint32_t{load<std::uint16_t>(from)} << 16U);
    case DType::kI32:
      return load<std::int32_t>(from);
    case DType::kU32:
      return load<std::uint32_t>(from);
    case DType::kF32:
      return load<float>(from);
    case DType::kF64:
      return load<double>(from);
    case DType::kI64:
      return static_cast<double>(load<std::int64_t>(from));
    case DType::kU64:
      return static_cast<double>(load<std::uint64_t>(from));
  }
  fail_check("dtype", "unknown dtype");
}

/// Tensor files of a checkpoint by name.
std::map<std::string, SafetensorsReader> open_all(FileSystem& files, const Path& directory) {
  const Path path = directory / kManifestName;
  std::map<std::string, SafetensorsReader> readers;
  for (const FileRecord& record : Manifest::parse(files.read(path), path.string()).files) {
    if (record.name != kStateName)
      readers.emplace(record.name, SafetensorsReader(files, directory / record.name));
  }
  return readers;
}

std::set<std::string> tensor_names(const SafetensorsReader& reader) {
  std::set<std::string> names;
  for (const TensorPlace& tensor : reader.header().tensors) names.insert(tensor.name);
  return names;
}

template <typename Container>
std::string only_in(const Container& a, const std::string& key) {
  return a.contains(key) ? "only in the first" : "only in the second";
}

void diff_file(const std::string& file, const SafetensorsReader& a, const SafetensorsReader& b,
               std::vector<Difference>& out) {
  const std::set<std::string> in_a = tensor_names(a);
  const std::set<std::string> in_b = tensor_names(b);
  std::set<std::string> all = in_a;
  all.insert(in_b.begin(), in_b.end());
  for (const std::string& name : all) {
    if (!in_a.contains(name) || !in_b.contains(name)) {
      out.push_back({file, name, only_in(in_a, name), 0, 0});
      continue;
    }
    const TensorData left = a.read(name);
    const TensorData right = b.read(name);
    if (static_cast<const TensorSpec&>(left) != static_cast<const TensorSpec&>(right)) {
      out.push_back({file, name, text(describe(left), " and ", describe(right)), 0, 0});
      continue;
    }
    Difference difference = compare(left, right);
    difference.file = file;
    if (!difference.what.empty()) out.push_back(std::move(difference));
  }
}

}  // namespace

Difference compare(const TensorData& a, const TensorData& b) {
  ATELIER_CHECK(a.dtype == b.dtype && a.shape == b.shape, "tensors of one type and shape");
  Difference result{"", a.name, "", 0, 0};
  const std::size_t size = size_of(a.dtype);
  for (std::size_t at = 0; at < a.bytes.size(); at += size) {
    if (std::memcmp(&a.bytes[at], &b.bytes[at], size) == 0) continue;
    ++result.elements;
    const double gap = std::abs(value_at(a.dtype, &a.bytes[at]) - value_at(a.dtype, &b.bytes[at]));
    // Written so that a NaN is taken over and stays.
    if (!(gap <= result.max_abs) && !std::isnan(result.max_abs)) result.max_abs = gap;
  }
  if (result.elements > 0) {
    result.what = text(result.elements, " of ", a.bytes.size() / size,
                       " elements differ, by at most ", result.max_abs);
  }
  return result;
}

std::vector<Difference> diff(FileSystem& files, const Path& a, const Path& b) {
  const auto in_a = open_all(files, a);
  const auto in_b = open_all(files, b);
  std::set<std::string> all;
  for (const auto& [name, reader] : in_a) all.insert(name);
  for (const auto& [name, reader] : in_b) all.insert(name);
  std::vector<Difference> out;
  for (const std::string& name : all) {
    if (in_a.contains(name) && in_b.contains(name)) {
      diff_file(name, in_a.at(name), in_b.at(name), out);
    } else {
      out.push_back({name, "", only_in(in_a, name), 0, 0});
    }
  }
  if (files.read(a / kStateName) != files.read(b / kStateName))
    out.push_back({std::string(kStateName), "", "the texts differ", 0, 0});
  return out;
}

}  // namespace atelier::checkpoints
