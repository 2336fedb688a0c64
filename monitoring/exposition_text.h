// Text as the Prometheus exposition format allows it: one bad byte would make a whole scrape
// invalid. Thread safety: pure functions.
#pragma once

#include <string>
#include <string_view>

namespace atelier::monitoring {

/// Backslash and newline escaped (prometheus-cpp 1.0.1 does so for labels, but not for help).
[[nodiscard]] std::string escape_help(std::string_view help);

/// Bytes that are no well-formed UTF-8 (RFC 3629) replaced by '?'.
[[nodiscard]] std::string valid_utf8(std::string_view value);

}  // namespace atelier::monitoring
