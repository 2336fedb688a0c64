#include "monitoring/exposition_text.h"

namespace atelier::monitoring {
namespace {

/// Length of the well-formed UTF-8 sequence at the start of `bytes` (RFC 3629); 0 when there is
/// none.
std::size_t utf8_length(std::string_view bytes) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || bytes.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xF0 && byte(1) < 0x90);
  const bool surrogate = lead == 0xED && byte(1) > 0x9F;
  const bool too_large = lead == 0xF4 && byte(1) > 0x8F;
  return overlong || surrogate || too_large ? 0 : length;
}

}  // namespace

std::string escape_help(std::string_view help) {
  std::string out;
  for (const char c : valid_utf8(help)) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

std::string valid_utf8(std::string_view value) {
  std::string out;
  while (!value.empty()) {
    const std::size_t length = utf8_length(value);
    out += length == 0 ? "?" : value.substr(0, length);
    value.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

}  // namespace atelier::monitoring
