// Strict JSON reading (RFC 8259) on nlohmann-json: one document, no duplicate keys, no comments, no
// NaN, integers of 64 bits, valid UTF-8, nesting of at most 200. Errors name the source. Bad input
// of any kind is an exception, never a crash. Thread safety: pure functions.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "launch/base/error.h"

namespace atelier {

struct JsonResult {
  nlohmann::json value;
  std::string fault;  ///< empty when `value` holds the document
};

[[nodiscard]] JsonResult try_parse_json_strict(std::string_view content);

/// Throws: ErrorType, naming `source` (a path) and what is wrong at which byte.
template <typename ErrorType = DataError>
[[nodiscard]] nlohmann::json parse_json_strict(std::string_view content, std::string_view source) {
  JsonResult result = try_parse_json_strict(content);
  if (!result.fault.empty()) {
    throw ErrorType("Cannot read '" + std::string(source) + "' as JSON: " + result.fault + ".");
  }
  return std::move(result.value);
}

}  // namespace atelier
