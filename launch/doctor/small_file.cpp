#include "launch/doctor/small_file.h"

#include <fstream>
#include <sstream>

namespace atelier::doctor {

std::string read_small_file(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream content;
  content << file.rdbuf();
  return file ? std::move(content).str() : "";
}

std::string value_of(const std::string& content, const std::string& key) {
  std::istringstream lines(content);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t end_of_key = line.find_first_of(": \t", key.size());
    if (end_of_key != key.size()) continue;
    const std::size_t start = line.find_first_not_of(": \t", end_of_key);
    return start == std::string::npos ? "" : line.substr(start);
  }
  return "";
}

}  // namespace atelier::doctor
