// The small text files in which the kernel tells about itself. Thread safety: pure functions.
#pragma once

#include <filesystem>
#include <string>

namespace atelier::doctor {

/// Whole content of a file whose size is not known beforehand (/proc, /sys); empty when it cannot
/// be read, which is how such a file says that the host has nothing of the kind.
[[nodiscard]] std::string read_small_file(const std::filesystem::path& path);

/// What stands behind "key" and a colon or blanks at the start of a line, up to its end; empty when
/// there is no such line.
[[nodiscard]] std::string value_of(const std::string& content, const std::string& key);

}  // namespace atelier::doctor
