#include "launch/base/config_listing.h"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier {
namespace {

std::string print_real(double value) {
  ATELIER_CHECK(std::isfinite(value), "a configuration holds finite numbers only");
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  std::string out(digits.data(), end);
  // TOML tells a float from an integer by its point or exponent.
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

std::string print_string(std::string_view value) {
  std::string out = "\"";
  for (const char c : value) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (code < 0x20 || code == 0x7F) {
      constexpr std::string_view kHex = "0123456789ABCDEF";
      out += "\\u00";
      out += kHex[code >> 4U];
      out += kHex[code & 0xFU];
    } else {
      out += c;
    }
  }
  return out + '"';
}

template <typename Number>
std::string bounds(std::string_view what, Number min, Number max, bool has_min, bool has_max) {
  if (has_min && has_max) return text(what, " from ", to_toml(min), " to ", to_toml(max));
  if (has_min) return text(what, " of at least ", to_toml(min));
  if (has_max) return text(what, " of at most ", to_toml(max));
  return std::string(what);
}

std::string quoted(const std::vector<std::string>& names) {
  std::vector<std::string> out;
  out.reserve(names.size());
  for (const std::string& name : names) out.push_back(text("'", name, "'"));
  return join(out);
}

/// Lower-case words joined by single dots: a bare key that needs no quoting anywhere.
bool is_plain_key(std::string_view key) {
  bool word_begins = true;
  for (const char c : key) {
    const bool letter = c >= 'a' && c <= 'z';
    const bool other = (c >= '0' && c <= '9') || c == '_' || c == '-';
    if (c == '.' ? word_begins : !letter && (word_begins || !other)) return false;
    word_begins = c == '.';
  }
  return !word_begins;
}

}  // namespace

std::string to_toml(const FieldValue& value) {
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return text(*whole);
  if (const auto* number = std::get_if<double>(&value)) return print_real(*number);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (std::holds_alternative<std::monostate>(value)) return "unset";
  return print_string(std::get<std::string>(value));
}

bool has_min(const IntRange& range) {
  return range.min != std::numeric_limits<std::int64_t>::min();
}
bool has_max(const IntRange& range) {
  return range.max != std::numeric_limits<std::int64_t>::max();
}
bool has_min(const RealRange& range) { return range.min != any_finite().min; }
bool has_max(const RealRange& range) { return range.max != any_finite().max; }

std::string expectation(const ConfigField& field) {
  if (field.int_range) {
    const IntRange range = *field.int_range;
    return bounds("an integer", range.min, range.max, has_min(range), has_max(range));
  }
  if (field.real_range) {
    const RealRange range = *field.real_range;
    if (range.min == positive().min) {
      return has_max(range) ? text("a number above 0 and up to ", to_toml(range.max))
                            : "a number above 0";
    }
    return bounds("a number", range.min, range.max, has_min(range), has_max(range));
  }
  if (std::holds_alternative<bool>(field.value)) return "true or false";
  if (!field.choices.empty()) return text("one of ", quoted(field.choices));
  return "a string";
}

ConfigField& FieldLister::add(std::string_view key, FieldValue value, FieldInfo info) {
  ATELIER_CHECK(is_plain_key(key), text("'", key, "' is no lower-case dotted key"));
  ATELIER_CHECK(info.doc.find_first_of("\r\n") == std::string_view::npos, "a doc is one line");
  ConfigField& field = fields_.emplace_back();
  field.key = key;
  field.value = std::move(value);
  field.doc = info.doc;
  field.may_change_on_resume = info.may_change_on_resume;
  return field;
}

void FieldLister::integer(std::string_view key, std::int64_t& value, IntRange range,
                          FieldInfo info) {
  add(key, value, info).int_range = range;
}

void FieldLister::real(std::string_view key, double& value, RealRange range, FieldInfo info) {
  add(key, value, info).real_range = range;
}

void FieldLister::optional_real(std::string_view key, std::optional<double>& value, RealRange range,
                                FieldInfo info) {
  add(key, value ? FieldValue(*value) : FieldValue(std::monostate{}), info).real_range = range;
}

void FieldLister::boolean(std::string_view key, bool& value, FieldInfo info) {
  add(key, value, info);
}

void FieldLister::string(std::string_view key, std::string& value, FieldInfo info) {
  add(key, value, info);
}

void FieldLister::name(std::string_view key, std::string& value,
                       std::span<const std::string_view> names, FieldInfo info) {
  add(key, value, info).choices.assign(names.begin(), names.end());
}

}  // namespace atelier
