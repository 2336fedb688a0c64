// Configuration, described once. A component has one aggregate struct with its defaults inside and
// one function `describe(ConfigFields&, Config&)`, found by argument-dependent lookup, that names
// each key, its range and its meaning. Reading (config_reader.h), printing and the schema
// (config_print.h), and comparing (config_compare.h) all walk that description.
//   void describe(ConfigFields& f, EngineConfig& c) {
//     f.integer("train.batch", c.batch, {1, 1 << 20}, {"images per step over all ranks"});
//   }
// Keys are dotted and lower-case; the unit is part of the key or of the doc. Thread safety: values.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace atelier {

/// What a reader of the schema learns about a key. `doc` is one line, without a final stop.
struct FieldInfo {
  std::string_view doc;
  bool may_change_on_resume = false;
};

/// Both ends belong to the range.
struct IntRange {
  std::int64_t min = 0;
  std::int64_t max = std::numeric_limits<std::int64_t>::max();
};

/// Both ends belong to the range; NaN and infinities never do.
struct RealRange {
  double min = std::numeric_limits<double>::lowest();
  double max = std::numeric_limits<double>::max();
};

[[nodiscard]] constexpr RealRange any_finite() { return {}; }
[[nodiscard]] constexpr RealRange non_negative() { return {.min = 0.0}; }
[[nodiscard]] constexpr RealRange unit_interval() { return {.min = 0.0, .max = 1.0}; }
/// Above zero. From the smallest normal double on: where denormals count as zero, as in training, a
/// smaller bound would equal zero.
[[nodiscard]] constexpr RealRange positive() { return {.min = std::numeric_limits<double>::min()}; }

/// One of the names of an enumeration.
template <typename Enum>
struct Choice {
  std::string_view name;
  Enum value;
};

/// Visitor over the keys of a configuration. Each call sees the value that the struct holds and may
/// replace it. Requires: no key twice, and no key that is also the table of another.
class ConfigFields {
 public:
  virtual ~ConfigFields() = default;
  virtual void integer(std::string_view key, std::int64_t& value, IntRange range,
                       FieldInfo info) = 0;
  virtual void real(std::string_view key, double& value, RealRange range, FieldInfo info) = 0;
  /// A number that may stay unset; `doc` says what holds then.
  virtual void optional_real(std::string_view key, std::optional<double>& value, RealRange range,
                             FieldInfo info) = 0;
  virtual void boolean(std::string_view key, bool& value, FieldInfo info) = 0;
  virtual void string(std::string_view key, std::string& value, FieldInfo info) = 0;
  /// A string that must be one of `names`.
  virtual void name(std::string_view key, std::string& value,
                    std::span<const std::string_view> names, FieldInfo info) = 0;

  /// An enumeration, written in files as one of the names of `choices`.
  template <typename Enum>
  void choice(std::string_view key, Enum& value,
              std::span<const Choice<std::type_identity_t<Enum>>> choices, FieldInfo info) {
    std::vector<std::string_view> names;
    std::string chosen;
    for (const Choice<Enum>& one : choices) {
      names.push_back(one.name);
      if (one.value == value) chosen = one.name;
    }
    name(key, chosen, names, info);
    for (const Choice<Enum>& one : choices) {
      if (one.name == chosen) value = one.value;
    }
  }
  template <typename Enum>
  void choice(std::string_view key, Enum& value,
              std::initializer_list<Choice<std::type_identity_t<Enum>>> choices, FieldInfo info) {
    choice(key, value, std::span<const Choice<Enum>>(choices.begin(), choices.size()), info);
  }
};

}  // namespace atelier
