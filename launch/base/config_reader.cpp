#include "launch/base/config_reader.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "launch/base/config_assignments.h"
#include "launch/base/config_listing.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier {
namespace {

constexpr std::size_t kMaxFaultsShown = 50;
constexpr std::int64_t kMaxExactInteger = std::int64_t{1} << 53;  // beyond it doubles skip integers

bool is_below(std::string_view key, std::string_view table) {
  return key.size() > table.size() && key.starts_with(table) && key[table.size()] == '.';
}

std::string_view last_word(std::string_view key) { return key.substr(key.rfind('.') + 1); }

/// Whether the field's own value keeps the field's promise.
bool is_within(const ConfigField& field) {
  if (std::holds_alternative<std::monostate>(field.value)) return true;
  if (field.int_range) {
    const auto value = std::get<std::int64_t>(field.value);
    return value >= field.int_range->min && value <= field.int_range->max;
  }
  if (field.real_range) {
    const auto value = std::get<double>(field.value);  // NaN fails both comparisons
    return value >= field.real_range->min && value <= field.real_range->max;
  }
  if (field.choices.empty()) return true;
  const auto& value = std::get<std::string>(field.value);
  return std::find(field.choices.begin(), field.choices.end(), value) != field.choices.end();
}

/// Puts the value into the field when its type is the field's; an integer may stand for a real.
bool take_type(const FieldValue& value, ConfigField& field) {
  if (const auto* whole = std::get_if<std::int64_t>(&value); whole != nullptr && field.real_range) {
    if (*whole < -kMaxExactInteger || *whole > kMaxExactInteger) return false;
    field.value = static_cast<double>(*whole);
    return true;
  }
  const bool fills_a_number =
      std::holds_alternative<std::monostate>(field.value) && std::holds_alternative<double>(value);
  if (value.index() != field.value.index() && !fills_a_number) return false;
  field.value = value;
  return true;
}

}  // namespace

struct ConfigReader::Impl {
  Assignments sources;
  std::map<std::string, ConfigField, std::less<>> known;

  void fault(std::size_t order, std::string message) {
    sources.faults.push_back({order, std::move(message)});
  }

  /// Registers the field and lays every value the sources have for it over its default.
  const FieldValue& read(ConfigField field) {
    ATELIER_CHECK(is_within(field),
                  text("the default of '", field.key, "' must be ", expectation(field)));
    ATELIER_CHECK(!known.contains(field.key), text("'", field.key, "' is described twice"));
    for (std::size_t i = 0; i < sources.items.size(); ++i) {
      const Assignment& one = sources.items[i];
      if (one.key != field.key) continue;
      ConfigField candidate = field;
      if (one.value && take_type(*one.value, candidate) && is_within(candidate)) {
        field.value = candidate.value;
      } else {
        fault(i, text(one.place, ": ", field.key, ": found ", one.found, ", expected ",
                      expectation(field), " (", field.doc, ")", hint(one, field)));
      }
    }
    const std::string key = field.key;
    return known.emplace(key, std::move(field)).first->second.value;
  }

  static std::string hint(const Assignment& one, const ConfigField& field) {
    const auto* word = one.value ? std::get_if<std::string>(&*one.value) : nullptr;
    if (word != nullptr && !field.choices.empty()) {
      const std::string name = nearest(*word, field.choices);
      if (!name.empty()) return text("; did you mean '", name, "'?");
    }
    const bool wants_string = std::holds_alternative<std::string>(field.value);
    if (one.is_override && word == nullptr && wants_string) {
      return text("; for a string write ", field.key, "='\"...\"', with both kinds of quotes");
    }
    return "";
  }

  /// The known key that an unknown one was probably meant to be; empty when none is near. A key
  /// that ends in the same word is the likeliest.
  std::string likely_key(std::string_view unknown) const {
    std::vector<std::string> keys, same_word;
    for (const auto& [key, field] : known) {
      keys.push_back(key);
      if (last_word(key) == last_word(unknown)) same_word.push_back(key);
    }
    if (same_word.empty()) return nearest(unknown, keys);
    return *std::min_element(same_word.begin(), same_word.end(), [&](const auto& a, const auto& b) {
      return edit_distance(unknown, a) < edit_distance(unknown, b);
    });
  }

  void judge_unknown(std::size_t order) {
    const Assignment& one = sources.items[order];
    for (const auto& [key, field] : known) {
      if (is_below(one.key, key)) {
        return fault(order, text(one.key_place, ": ", key, ": found a table, expected ",
                                 expectation(field), " (", field.doc, ")"));
      }
      if (is_below(key, one.key)) {
        if (one.is_table) return;
        return fault(order, text(one.place, ": ", one.key, ": found ", one.found,
                                 ", expected a table with keys such as '", key, "'"));
      }
    }
    const std::string meant = likely_key(one.key);
    fault(order,
          text(one.key_place, ": found the unknown key '", one.key, "', expected a known one",
               meant.empty() ? "" : text("; did you mean '", meant, "'?")));
  }

  void check_no_key_is_a_table() const {
    for (const auto& [key, field] : known) {
      for (auto next = known.upper_bound(key); next != known.end() && next->first.starts_with(key);
           ++next) {
        ATELIER_CHECK(!is_below(next->first, key), text("'", key, "' is a value and a table"));
      }
    }
  }
};

ConfigReader::ConfigReader(const ConfigSources& sources) : impl_(std::make_unique<Impl>()) {
  for (const ConfigDocument& document : sources.documents) {
    add_document(document.source, document.content, impl_->sources);
  }
  for (const std::string& assignment : sources.overrides) {
    add_override(assignment, impl_->sources);
  }
}

ConfigReader::~ConfigReader() = default;

void ConfigReader::integer(std::string_view key, std::int64_t& value, IntRange range,
                           FieldInfo info) {
  FieldLister one;
  one.integer(key, value, range, info);
  value = std::get<std::int64_t>(impl_->read(one.take().front()));
}

void ConfigReader::real(std::string_view key, double& value, RealRange range, FieldInfo info) {
  FieldLister one;
  one.real(key, value, range, info);
  value = std::get<double>(impl_->read(one.take().front()));
}

void ConfigReader::optional_real(std::string_view key, std::optional<double>& value,
                                 RealRange range, FieldInfo info) {
  FieldLister one;
  one.optional_real(key, value, range, info);
  const FieldValue& found = impl_->read(one.take().front());
  if (const auto* number = std::get_if<double>(&found)) value = *number;
}

void ConfigReader::boolean(std::string_view key, bool& value, FieldInfo info) {
  FieldLister one;
  one.boolean(key, value, info);
  value = std::get<bool>(impl_->read(one.take().front()));
}

void ConfigReader::string(std::string_view key, std::string& value, FieldInfo info) {
  FieldLister one;
  one.string(key, value, info);
  value = std::get<std::string>(impl_->read(one.take().front()));
}

void ConfigReader::name(std::string_view key, std::string& value,
                        std::span<const std::string_view> names, FieldInfo info) {
  FieldLister one;
  one.name(key, value, names, info);
  value = std::get<std::string>(impl_->read(one.take().front()));
}

void ConfigReader::add_fault(std::string_view key, std::string_view problem) {
  impl_->fault(impl_->sources.items.size(), text(origin(key), ": ", key, ": ", problem));
}

std::string ConfigReader::origin(std::string_view key) const {
  const auto& items = impl_->sources.items;
  const auto last = std::find_if(items.rbegin(), items.rend(),
                                 [&](const Assignment& one) { return one.key == key; });
  return last == items.rend() ? "default" : last->place;
}

void ConfigReader::finish() {
  impl_->check_no_key_is_a_table();
  for (std::size_t i = 0; i < impl_->sources.items.size(); ++i) {
    if (!impl_->known.contains(impl_->sources.items[i].key)) impl_->judge_unknown(i);
  }
  auto& faults = impl_->sources.faults;
  if (faults.empty()) return;
  std::stable_sort(
      faults.begin(), faults.end(),
      [](const SourceFault& left, const SourceFault& right) { return left.order < right.order; });
  std::string message = faults.size() == 1
                            ? "The configuration has a fault:"
                            : text("The configuration has ", faults.size(), " faults:");
  for (std::size_t i = 0; i < std::min(faults.size(), kMaxFaultsShown); ++i) {
    message += text("\n  ", faults[i].message);
  }
  if (faults.size() > kMaxFaultsShown) {
    message += text("\n  and ", faults.size() - kMaxFaultsShown, " more");
  }
  throw ConfigError(message + "\n'atelier config schema' lists every key.");
}

}  // namespace atelier
