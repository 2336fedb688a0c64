#include "monitoring/counter_file.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

#include "launch/base/text.h"

namespace atelier::monitoring {
namespace {

// Divides a page: a process that dies inside of a write leaves whole lines, old or new.
constexpr std::size_t kLineBytes = 256;

void append_line(std::string& lines, std::string_view name, double value) {
  std::array<char, 32> digits{};
  const auto* end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  const std::string_view number(digits.data(), static_cast<std::size_t>(end - digits.data()));
  const std::size_t length = name.size() + 1 + number.size() + 1;
  if (length > kLineBytes) return;
  lines.append(name).append(1, ' ').append(number);
  lines.append(kLineBytes - length, ' ').append(1, '\n');
}

}  // namespace

CounterFile::CounterFile(const Path& path, Log& log) : path_(path.string()), log_(log) {
  std::error_code ignored;  // opening tells
  std::filesystem::create_directories(path.parent_path(), ignored);
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) give_up("opened");
}

CounterFile::~CounterFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void CounterFile::write(const Metrics& metrics) {
  if (descriptor_ < 0) return;
  lines_.clear();
  metrics.visit_counters(
      [this](std::string_view name, double value) { append_line(lines_, name, value); });
  const auto written = ::pwrite(descriptor_, lines_.data(), lines_.size(), 0);
  if (written != static_cast<ssize_t>(lines_.size())) give_up("written");
}

void CounterFile::sync() {
  if (descriptor_ >= 0 && ::fsync(descriptor_) != 0) give_up("synced");
}

void CounterFile::give_up(const char* what) {
  log_.warn(text("The counters' file '", path_, "' cannot be ", what, ": ", std::strerror(errno),
                 ". Training goes on; after a crash counters may restart lower."));
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

std::map<std::string, double> read_counters(FileSystem& files, const Path& path) {
  std::map<std::string, double> counters;
  if (!files.exists(path)) return counters;
  const std::string content = files.read(path);
  for (std::size_t begin = 0; begin + kLineBytes <= content.size(); begin += kLineBytes) {
    const std::string_view line(content.data() + begin, kLineBytes);
    const std::size_t space = line.find(' ');
    if (line.back() != '\n' || space == 0 || space == std::string_view::npos) continue;
    double value = 0;
    const char* first = line.data() + space + 1;
    const auto read = std::from_chars(first, line.data() + line.size(), value);
    const bool whole = read.ec == std::errc() && (*read.ptr == ' ' || *read.ptr == '\n');
    if (whole && std::isfinite(value)) counters[std::string(line.substr(0, space))] = value;
  }
  return counters;
}

}  // namespace atelier::monitoring
