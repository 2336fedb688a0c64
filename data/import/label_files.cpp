#include "data/import/label_files.h"

#include <algorithm>
#include <charconv>
#include <set>

#include <nlohmann/json.hpp>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

using Json = nlohmann::json;

std::optional<std::int64_t> integer_of(const std::string& word) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (word.empty() || error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return value;
}

std::string trimmed(const std::string& raw) {
  constexpr const char* kSpace = " \t\r\n";
  const std::size_t from = raw.find_first_not_of(kSpace);
  if (from == std::string::npos) return "";
  return raw.substr(from, raw.find_last_not_of(kSpace) - from + 1);
}

// Empty where there is none.
std::string label_in(const Json& description) {
  if (!description.is_object()) return "";
  for (const char* const key : {"cls", "label", "class"}) {
    const auto found = description.find(key);
    if (found == description.end()) continue;
    if (found->is_number_integer()) return std::to_string(found->get<std::int64_t>());
    if (found->is_string()) return clean_text(found->get<std::string>());
  }
  return "";
}

std::string label_of(const std::string& key, const SideTexts& texts) {
  if (const auto cls = texts.find(key + ".cls"); cls != texts.end())
    return clean_text(trimmed(cls->second));
  const auto json = texts.find(key + ".json");
  return json == texts.end() ? "" : label_in(Json::parse(json->second, nullptr, false));
}

std::string folder_of(const std::string& name) {
  const std::size_t slash = name.find_last_of('/');
  return slash == std::string::npos ? "" : name.substr(0, slash + 1);
}

}  // namespace

std::optional<std::vector<PlacedName>> place_by_list(const std::vector<std::string>& names,
                                                     const std::string& list_name,
                                                     const std::string& list) {
  const Json document = Json::parse(list, nullptr, false);
  if (document.is_discarded()) throw DataError("it is no JSON document");
  if (!document.is_object() || !document.contains("labels")) return std::nullopt;
  const Json& labels = document["labels"];
  std::map<std::string, std::string> by_name;
  const std::string folder = folder_of(list_name);
  if (!labels.is_null() && !labels.is_array()) throw DataError("its \"labels\" are no list");
  for (const Json& entry : labels) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() ||
        !entry[1].is_number_integer()) {
      throw DataError(text(
          "its \"labels\" are to be pairs of a name and an integer, and one "
          "is ",
          clean_text(entry.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 80))));
    }
    by_name[folder + entry[0].get<std::string>()] = std::to_string(entry[1].get<std::int64_t>());
  }
  std::vector<PlacedName> placed;
  for (const std::string& name : names) {
    PlacedName& place = placed.emplace_back();
    place.class_name = kNoClass;
    if (labels.is_null()) continue;
    const auto found = by_name.find(name);
    if (found != by_name.end()) place.class_name = found->second;
    if (found == by_name.end()) place.problem = text("'", list_name, "' gives no label for it");
  }
  return placed;
}

std::string sample_key(const std::string& name) {
  const std::size_t file = folder_of(name).size();
  return name.substr(0, std::min(name.find('.', file + 1), name.size()));
}

std::optional<std::vector<PlacedName>> place_by_side_files(const std::vector<std::string>& names,
                                                           const SideTexts& texts) {
  bool any = false;
  std::vector<PlacedName> placed;
  for (const std::string& name : names) {
    PlacedName& place = placed.emplace_back();
    const std::string key = sample_key(name);
    place.split = split_of_shard(name);
    place.class_name = label_of(key, texts);
    const std::string kind = name.substr(key.size());
    if (std::count(kind.begin(), kind.end(), '.') > 1) {
      place.problem = text("it is another picture of the sample '", key, "'");
    } else if (place.class_name.empty()) {
      place.problem =
          "there is no label beside it (.cls, or .json with "
          "\"cls\" or \"label\")";
    } else {
      any = true;
    }
  }
  return any ? std::optional(std::move(placed)) : std::nullopt;
}

std::vector<std::string> class_order(const std::vector<PlacedName>& placed) {
  std::set<std::string> names;
  for (const PlacedName& place : placed)
    if (place.problem.empty()) names.insert(place.class_name);
  std::vector<std::string> sorted(names.begin(), names.end());
  const bool numbers = std::all_of(sorted.begin(), sorted.end(), [](const std::string& name) {
    return integer_of(name).has_value();
  });
  if (numbers) {
    std::stable_sort(sorted.begin(), sorted.end(), [](const std::string& a, const std::string& b) {
      return *integer_of(a) < *integer_of(b);
    });
  }
  return sorted;
}

}  // namespace atelier::data
