// Building messages: text("rank ", 3, " of ", 4) is the concatenation of its arguments as a stream
// prints them. Used where a message is made, never on a hot path. Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace atelier {

template <typename... Parts>
[[nodiscard]] std::string text(const Parts&... parts) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  static_cast<void>((out << ... << parts));  // no parts: no effect, and no warning
  return std::move(out).str();
}

/// "a, b, c".
[[nodiscard]] std::string join(const std::vector<std::string>& items,
                               std::string_view separator = ", ");

/// 1536 → "1.5 KiB". Units: bytes.
[[nodiscard]] std::string human_bytes(std::uint64_t bytes);

/// 3723.4 → "1 h 02 min", 63 → "1 min 03 s", 4.25 → "4.2 s". Units: seconds.
[[nodiscard]] std::string human_seconds(double seconds);

/// 1234567 → "1,234,567".
[[nodiscard]] std::string human_count(std::int64_t count);

/// Number with `digits` digits after the point, in the C locale.
[[nodiscard]] std::string fixed(double value, int digits);

/// A word as a POSIX shell reads it back: quoted only where it must be.
[[nodiscard]] std::string shell_word(std::string_view word);

/// Edits (insert, delete, replace, swap neighbours) that turn one word into the other.
[[nodiscard]] std::size_t edit_distance(std::string_view left, std::string_view right);

/// The candidate nearest to `word` by edit distance; empty when none is near enough to help.
[[nodiscard]] std::string nearest(std::string_view word,
                                  const std::vector<std::string>& candidates);

}  // namespace atelier
