#include "launch/base/config_print.h"

#include <algorithm>
#include <type_traits>

#include <nlohmann/json.hpp>

#include "launch/base/text.h"

namespace atelier {
namespace {

using nlohmann::ordered_json;

// "train.batch" → "train" and "batch"; the table of a top-level key is "".
std::string table_of(const std::string& key) {
  const std::size_t dot = key.rfind('.');
  return dot == std::string::npos ? "" : key.substr(0, dot);
}

std::string last_word(const std::string& key) { return key.substr(key.rfind('.') + 1); }

std::vector<std::string> tables(std::span<const ConfigField> fields) {
  std::vector<std::string> names{""};  // TOML wants the keys without a table first
  for (const ConfigField& field : fields) {
    const std::string table = table_of(field.key);
    if (std::find(names.begin(), names.end(), table) == names.end()) names.push_back(table);
  }
  return names;
}

ordered_json to_json(const FieldValue& value) {
  return std::visit(
      [](const auto& plain) -> ordered_json {
        if constexpr (std::is_same_v<decltype(plain), const std::monostate&>) {
          return nullptr;
        } else {
          return plain;
        }
      },
      value);
}

std::string_view type_name(const ConfigField& field) {
  if (field.int_range) return "integer";
  if (field.real_range) return "number";
  if (std::holds_alternative<bool>(field.value)) return "boolean";
  return "string";
}

template <typename Range>
void add_bounds(ordered_json& key, const std::optional<Range>& range) {
  if (!range) return;
  if (has_min(*range)) key["min"] = range->min;
  if (has_max(*range)) key["max"] = range->max;
}

}  // namespace

std::string config_toml(std::span<const ConfigField> fields) {
  std::string out;
  for (const std::string& table : tables(fields)) {
    if (!table.empty()) out += text(out.empty() ? "[" : "\n[", table, "]\n");
    for (const ConfigField& field : fields) {
      if (table_of(field.key) != table) continue;
      out += text("# ", field.doc, " (", expectation(field), ")\n");
      const bool unset = std::holds_alternative<std::monostate>(field.value);
      out += text(unset ? "# " : "", last_word(field.key), " = ", to_toml(field.value), "\n");
    }
  }
  return out;
}

std::string schema_json(std::span<const ConfigField> fields) {
  ordered_json keys = ordered_json::array();
  for (const ConfigField& field : fields) {
    ordered_json key{
        {"key", field.key}, {"type", type_name(field)}, {"default", to_json(field.value)}};
    add_bounds(key, field.int_range);
    add_bounds(key, field.real_range);
    if (!field.choices.empty()) key["choices"] = field.choices;
    key["doc"] = field.doc;
    key["may_change_on_resume"] = field.may_change_on_resume;
    keys.push_back(std::move(key));
  }
  return ordered_json{{"keys", std::move(keys)}}.dump(2) + "\n";
}

std::string schema_table(std::span<const ConfigField> fields) {
  std::size_t width = 0;
  for (const ConfigField& field : fields) {
    width = std::max(width, field.key.size() + 3 + to_toml(field.value).size());
  }
  std::string out;
  for (const ConfigField& field : fields) {
    std::string line = text(field.key, " = ", to_toml(field.value));
    line.resize(width + 2, ' ');
    out += text(line, field.doc, " (", expectation(field), ")",
                field.may_change_on_resume ? " [may change on resume]" : "", "\n");
  }
  return out;
}

}  // namespace atelier
