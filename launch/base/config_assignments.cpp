#include "launch/base/config_assignments.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <toml++/toml.h>

#include "launch/base/text.h"

namespace atelier {
namespace {

// The parser destroys nested tables by recursion: these bounds keep the stack shallow.
constexpr std::size_t kMaxDocumentBytes = std::size_t{256} * 1024;
constexpr std::size_t kMaxDotsPerLine = 64;
constexpr std::size_t kMaxShownBytes = 60;

std::string place_of(std::string_view source, const toml::source_position& at) {
  return text(source, ":", at.line, ":", at.column);
}

// Cut at a character of UTF-8, so that messages stay readable.
std::string shortened(std::string_view value) {
  if (value.size() <= kMaxShownBytes) return std::string(value);
  std::size_t end = kMaxShownBytes;
  while (end > 0 && (static_cast<unsigned char>(value[end]) & 0xC0U) == 0x80U) --end;
  return text(value.substr(0, end), "...");
}

bool is_bare_word(std::string_view word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
}

std::string_view trimmed(std::string_view value) {
  const std::size_t first = std::min(value.find_first_not_of(" \t"), value.size());
  value.remove_prefix(first);
  return value.substr(0, value.find_last_not_of(" \t") + 1);
}

/// Why the text must not reach the parser; empty when it may.
std::string refusal(std::string_view content) {
  if (content.size() > kMaxDocumentBytes) {
    return text("found ", content.size(), " bytes, expected at most ", kMaxDocumentBytes);
  }
  std::size_t line_number = 1;
  for (std::string_view rest = content; !rest.empty(); ++line_number) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = trimmed(rest.substr(0, end));
    const auto dots = static_cast<std::size_t>(std::count(line.begin(), line.end(), '.'));
    if (dots > kMaxDotsPerLine && line.front() != '#') {
      return text("found ", dots, " dots in line ", line_number, ", expected at most ",
                  kMaxDotsPerLine);
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return "";
}

std::string_view kind_of(toml::node_type type) {
  switch (type) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::date:
      return "a date";
    case toml::node_type::time:
      return "a time";
    default:
      return "a date with a time";
  }
}

/// Value and words of a node.
void set_value(const toml::node& node, Assignment& out) {
  out.is_table = node.is_table();
  out.found = kind_of(node.type());
  if (const auto* whole = node.as_integer()) {
    out.value = FieldValue(whole->get());
    out.found = text("the integer ", whole->get());
  } else if (const auto* number = node.as_floating_point()) {
    const double value = number->get();
    out.value = FieldValue(value);
    out.found = text("the number ", std::isfinite(value) ? to_toml(value) : text(value));
  } else if (const auto* flag = node.as_boolean()) {
    out.value = FieldValue(flag->get());
    out.found = flag->get() ? "true" : "false";
  } else if (const auto* string = node.as_string()) {
    out.value = FieldValue(string->get());
    out.found = text("the string ", shortened(to_toml(string->get())));
  }
}

/// One value or empty table of a document, before it is sorted by its place.
struct Leaf {
  toml::source_position at;
  std::string key;
  const toml::node* node;
};

// Recursion is bounded by `refusal` and by the parser's own limit on nested values.
void collect(const toml::table& table, const std::string& prefix, std::vector<Leaf>& out) {
  for (const auto& [key, node] : table) {
    const std::string word =
        is_bare_word(key.str()) ? std::string(key.str()) : to_toml(std::string(key.str()));
    const std::string name = prefix.empty() ? word : text(prefix, ".", word);
    const toml::table* below = node.as_table();
    if (below != nullptr && !below->empty()) {
      collect(*below, name, out);
    } else {
      out.push_back({key.source().begin, name, &node});
    }
  }
}

/// The one value of "v = <value>", or why there is none.
struct ParsedValue {
  std::optional<Assignment> value;
  std::string problem;
};

ParsedValue parse_value(std::string_view value) {
  try {
    const toml::table table = toml::parse(text("v = ", value));
    Assignment out;
    set_value(*table.get("v"), out);
    // A comment after the value would swallow what the user meant.
    const bool ends_as_string = value.back() == '"' || value.back() == '\'';
    const bool is_string = out.value && std::holds_alternative<std::string>(*out.value);
    if (is_string ? !ends_as_string : value.find('#') != std::string_view::npos) {
      return {std::nullopt, "a value followed by a comment"};
    }
    return {std::move(out), ""};
  } catch (const toml::parse_error& problem) {
    return {std::nullopt, std::string(problem.description())};
  }
}

bool is_dotted_key(std::string_view key) {
  std::size_t dot = 0;
  while ((dot = key.find('.')) != std::string_view::npos) {
    if (!is_bare_word(key.substr(0, dot))) return false;
    key.remove_prefix(dot + 1);
  }
  return is_bare_word(key);
}

/// What is wrong with the form of an override; empty when it is KEY=VALUE.
std::string form_fault(std::string_view assignment, std::string_view key, std::string_view value) {
  if (assignment.find('=') == std::string_view::npos) return "found no '=', expected KEY=VALUE";
  if (key.empty()) return "found an empty key, expected KEY=VALUE";
  if (!is_dotted_key(key)) return "found no dotted key before '=', expected KEY=VALUE";
  if (value.empty())
    return text("found no value, expected KEY=VALUE; write ", key, "='\"\"' for an empty string");
  const bool has_control = std::any_of(value.begin(), value.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 && c != '\t';
  });
  if (has_control) return "found a control character, expected a value on one line";
  return refusal(value);
}

}  // namespace

void add_document(std::string_view source, std::string_view content, Assignments& out) {
  const std::size_t order = out.items.size();
  if (std::string problem = refusal(content); !problem.empty()) {
    out.faults.push_back({order, text(source, ": ", problem)});
    return;
  }
  try {
    const toml::table table = toml::parse(content, source);
    std::vector<Leaf> leaves;
    collect(table, "", leaves);
    std::stable_sort(leaves.begin(), leaves.end(),
                     [](const Leaf& left, const Leaf& right) { return left.at < right.at; });
    for (const Leaf& leaf : leaves) {
      Assignment one;
      one.key = leaf.key;
      set_value(*leaf.node, one);
      one.key_place = place_of(source, leaf.at);
      one.place = place_of(source, leaf.node->source().begin);
      out.items.push_back(std::move(one));
    }
  } catch (const toml::parse_error& problem) {
    out.faults.push_back({order, text(place_of(source, problem.source().begin), ": ",
                                      "found no valid TOML: ", problem.description())});
  }
}

void add_override(std::string_view assignment, Assignments& out) {
  const std::string place = text("--set ", shortened(assignment));
  const std::size_t equals = std::min(assignment.find('='), assignment.size());
  const std::string_view key = trimmed(assignment.substr(0, equals));
  const std::string_view raw = assignment.substr(std::min(equals + 1, assignment.size()));
  const std::string_view value = trimmed(raw);
  const auto fault = [&](std::string_view problem) {
    out.faults.push_back({out.items.size(), text(place, ": ", problem)});
  };
  if (const std::string problem = form_fault(assignment, key, value); !problem.empty()) {
    return fault(problem);
  }

  ParsedValue parsed = parse_value(value);
  const bool looks_like_toml = std::string_view("\"'[{").find(value.front()) != std::string::npos;
  if (!parsed.value && !looks_like_toml) parsed = parse_value(to_toml(std::string(raw)));
  if (!parsed.value) return fault(text("found no valid TOML value: ", parsed.problem));
  parsed.value->key = key;
  parsed.value->place = place;
  parsed.value->key_place = place;
  parsed.value->is_override = true;
  out.items.push_back(std::move(*parsed.value));
}

}  // namespace atelier
