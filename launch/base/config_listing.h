// A configuration as a list of its fields: key, value, range, meaning. It is what printing, the
// schema and comparisons are made from. Thread safety: values and pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "launch/base/config_fields.h"

namespace atelier {

/// std::monostate: an optional value that is not set.
using FieldValue = std::variant<std::int64_t, double, bool, std::string, std::monostate>;

struct ConfigField {
  std::string key;
  FieldValue value;
  std::optional<IntRange> int_range;    ///< integers only
  std::optional<RealRange> real_range;  ///< reals only
  std::vector<std::string> choices;     ///< names only
  std::string doc;
  bool may_change_on_resume = false;
};

/// The value as TOML: strings quoted, doubles in the fewest digits that read back the same bits,
/// what is not set as "unset", which is no TOML.
[[nodiscard]] std::string to_toml(const FieldValue& value);

/// Whether an end of the range is more than the type's own limit.
[[nodiscard]] bool has_min(const IntRange& range);
[[nodiscard]] bool has_max(const IntRange& range);
[[nodiscard]] bool has_min(const RealRange& range);
[[nodiscard]] bool has_max(const RealRange& range);

/// What a value of the field must be: "an integer from 1 to 8", "one of 'fp32', 'bf16'".
[[nodiscard]] std::string expectation(const ConfigField& field);

/// Collects the fields that a `describe` function shows it, in that order.
class FieldLister final : public ConfigFields {
 public:
  void integer(std::string_view key, std::int64_t& value, IntRange range, FieldInfo info) override;
  void real(std::string_view key, double& value, RealRange range, FieldInfo info) override;
  void optional_real(std::string_view key, std::optional<double>& value, RealRange range,
                     FieldInfo info) override;
  void boolean(std::string_view key, bool& value, FieldInfo info) override;
  void string(std::string_view key, std::string& value, FieldInfo info) override;
  void name(std::string_view key, std::string& value, std::span<const std::string_view> names,
            FieldInfo info) override;
  [[nodiscard]] std::vector<ConfigField> take() { return std::move(fields_); }

 private:
  ConfigField& add(std::string_view key, FieldValue value, FieldInfo info);
  std::vector<ConfigField> fields_;
};

template <typename Config>
[[nodiscard]] std::vector<ConfigField> list_fields(Config config) {
  FieldLister lister;
  describe(lister, config);
  return lister.take();
}

}  // namespace atelier
