#include "checkpoints/tensor.h"

#include <array>
#include <map>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::checkpoints {
namespace {

struct DTypeRow {
  std::string_view name;
  std::size_t size;
};

constexpr std::array<DTypeRow, 13> kDTypes{{{"BOOL", 1},
                                            {"U8", 1},
                                            {"I8", 1},
                                            {"I16", 2},
                                            {"U16", 2},
                                            {"F16", 2},
                                            {"BF16", 2},
                                            {"I32", 4},
                                            {"U32", 4},
                                            {"F32", 4},
                                            {"F64", 8},
                                            {"I64", 8},
                                            {"U64", 8}}};

using SpecsByName = std::map<std::string_view, const TensorSpec*>;

SpecsByName by_name(std::span<const TensorSpec> specs) {
  SpecsByName result;
  for (const TensorSpec& spec : specs) result.emplace(spec.name, &spec);
  return result;
}

}  // namespace

std::size_t size_of(DType dtype) { return kDTypes.at(static_cast<std::size_t>(dtype)).size; }

std::string_view name_of(DType dtype) { return kDTypes.at(static_cast<std::size_t>(dtype)).name; }

std::optional<DType> dtype_of(std::string_view name) {
  for (std::size_t i = 0; i < kDTypes.size(); ++i) {
    if (kDTypes.at(i).name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

std::optional<std::uint64_t> byte_count(const TensorSpec& spec) {
  std::uint64_t count = 1;
  for (const std::int64_t size : spec.shape) {
    if (size < 0 || __builtin_mul_overflow(count, static_cast<std::uint64_t>(size), &count))
      return std::nullopt;
  }
  if (__builtin_mul_overflow(count, size_of(spec.dtype), &count)) return std::nullopt;
  return count;
}

std::string join_sizes(std::span<const std::int64_t> shape, std::string_view separator) {
  std::string joined;
  for (const std::int64_t size : shape) joined += text(joined.empty() ? "" : separator, size);
  return joined;
}

std::string describe(const TensorSpec& spec) {
  return text(name_of(spec.dtype), " [", join_sizes(spec.shape, ", "), "]");
}

std::string compare_shapes(std::span<const TensorSpec> expected,
                           std::span<const TensorSpec> found) {
  constexpr std::size_t kShown = 5;
  std::map<std::string_view, std::string> differences;
  const SpecsByName wanted = by_name(expected);
  const SpecsByName present = by_name(found);
  for (const auto& [name, spec] : wanted) {
    const auto other = present.find(name);
    if (other == present.end()) {
      differences[name] = text("'", name, "': expected ", describe(*spec), ", not there");
    } else if (*other->second != *spec) {
      differences[name] =
          text("'", name, "': expected ", describe(*spec), ", found ", describe(*other->second));
    }
  }
  for (const auto& [name, spec] : present) {
    if (!wanted.contains(name))
      differences[name] = text("'", name, "': not expected, found ", describe(*spec));
  }
  std::vector<std::string> lines;
  for (const auto& [name, line] : differences) {
    if (lines.size() < kShown) lines.push_back(line);
  }
  if (differences.size() > kShown)
    lines.push_back(text("and ", differences.size() - kShown, " more"));
  return join(lines, "\n");
}

}  // namespace atelier::checkpoints
