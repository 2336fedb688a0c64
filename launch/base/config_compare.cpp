#include "launch/base/config_compare.h"

#include <algorithm>
#include <map>

#include "launch/base/hash.h"
#include "launch/base/text.h"

namespace atelier {
namespace {

constexpr std::string_view kEquals = " = ";

std::map<std::string, std::string> split_lines(std::string_view flat) {
  std::map<std::string, std::string> values;
  while (!flat.empty()) {
    const std::size_t end = std::min(flat.find('\n'), flat.size());
    const std::string_view line = flat.substr(0, end);
    const std::size_t equals = std::min(line.find(kEquals), line.size());
    const std::size_t value = std::min(equals + kEquals.size(), line.size());
    values.emplace(line.substr(0, equals), line.substr(value));
    flat.remove_prefix(std::min(end + 1, flat.size()));
  }
  return values;
}

}  // namespace

std::string flatten(std::span<const ConfigField> fields) {
  std::map<std::string_view, std::string> sorted;
  for (const ConfigField& field : fields) sorted.emplace(field.key, to_toml(field.value));
  std::string out;
  for (const auto& [key, value] : sorted) out += text(key, kEquals, value, "\n");
  return out;
}

std::uint64_t config_hash(std::span<const ConfigField> fields) { return xxh3_64(flatten(fields)); }

std::vector<ConfigDifference> differences(std::string_view before, std::span<const ConfigField> now,
                                          std::span<const ConfigField> defaults) {
  std::map<std::string, ConfigDifference> by_key;
  for (const ConfigField& field : defaults) {
    by_key[field.key] = {field.key, to_toml(field.value), "", false};
  }
  for (auto& [key, value] : split_lines(before)) by_key[key] = {key, value, "", false};
  for (const ConfigField& field : now) {
    ConfigDifference& one = by_key[field.key];
    one.key = field.key;
    one.now = to_toml(field.value);
    one.may_change_on_resume = field.may_change_on_resume;
  }
  std::vector<ConfigDifference> out;
  for (auto& [key, one] : by_key) {
    if (one.before != one.now) out.push_back(std::move(one));
  }
  return out;
}

std::string to_string(const ConfigDifference& difference) {
  const auto shown = [](const std::string& value) { return value.empty() ? "absent" : value; };
  return text(difference.key, ": ", shown(difference.before), " before, ", shown(difference.now),
              " now");
}

}  // namespace atelier
