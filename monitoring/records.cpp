#include "monitoring/records.h"

#include <array>
#include <charconv>
#include <cmath>

#include <nlohmann/json.hpp>

#include "launch/base/error.h"
#include "launch/base/json.h"
#include "launch/base/text.h"

namespace atelier::monitoring {
namespace {

constexpr const char* kAttempt = "attempt";
constexpr const char* kStep = "step";
constexpr const char* kTime = "unix_seconds";

bool ends_in_newline(const Path& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file || file.tellg() <= 0) return true;
  file.seekg(-1, std::ios::end);
  return file.get() == '\n';
}

/// The shortest digits that read back to the same number.
void append_number(std::string& out, double number) {
  std::array<char, 32> digits{};
  char* const end = digits.data() + digits.size();
  // A reader may take a number without point and exponent for an integer of 64 bits.
  const auto written = std::abs(number) < 1e15 ? std::to_chars(digits.data(), end, number)
                                               : std::to_chars(digits.data(), end, number,
                                                               std::chars_format::scientific);
  out.append(digits.data(), written.ptr);
}

struct Line {
  std::optional<std::int64_t> step;
  StatsRecord record;
};

void add_field(const std::string& key, const nlohmann::json& value, Line& line) {
  if (key == kAttempt && value.is_number_integer()) {
    line.record.attempt = value.get<std::int64_t>();
  } else if (key == kStep && value.is_number_integer()) {
    line.step = value.get<std::int64_t>();
  } else if (key == kTime && value.is_number()) {
    line.record.unix_seconds = value.get<double>();
  } else if (value.is_number()) {
    line.record.values[key] = value.get<double>();
  } else if (value.is_null()) {
    line.record.values[key] = std::nullopt;
  }
}

/// Adds one line; false when it is no record.
bool add_line(std::string_view content, Stats& stats) {
  const JsonResult parsed = try_parse_json_strict(content);
  if (!parsed.fault.empty() || !parsed.value.is_object()) return false;
  Line line;
  for (const auto& [key, value] : parsed.value.items()) add_field(key, value, line);
  auto& [step, record] = line;
  if (!step || record.attempt < 1) return false;
  stats.last_attempt = std::max(stats.last_attempt, record.attempt);
  StatsRecord& known = stats.steps[*step];
  if (record.attempt >= known.attempt) known = std::move(record);
  return true;
}

}  // namespace

std::string stats_line(const Snapshot& snapshot, std::int64_t attempt) {
  std::string out = "{\"" + std::string(kAttempt) + "\":" + std::to_string(attempt) + ",\"" +
                    kStep + "\":" + std::to_string(snapshot.step) + ",\"" + kTime + "\":";
  append_number(out, snapshot.unix_seconds);
  for (const Sample& sample : snapshot.samples) {
    out.append(",").append(sample.series->json_key).append(":");
    if (std::isfinite(sample.value)) {
      append_number(out, sample.value);
    } else {
      out += "null";
    }
  }
  return out += '}';
}

StatsWriter::StatsWriter(const Path& path, std::int64_t attempt, Log& log)
    : path_(path.string()), attempt_(attempt), log_(log) {
  ATELIER_CHECK(attempt >= 1, "attempts count from 1");
  const bool torn = !ends_in_newline(path);
  file_.open(path, std::ios::binary | std::ios::app);
  // The end of a line that an earlier attempt was killed in must not swallow our first.
  if (torn) file_ << '\n' << std::flush;
  if (!file_) {
    throw IoError(text("Cannot append to '", path_, "'."), "Check the folder and its free space.");
  }
}

void StatsWriter::append(const Snapshot& snapshot) {
  // After a failure the line before may be torn.
  file_ << (failed_ ? "\n" : "") << stats_line(snapshot, attempt_) << '\n' << std::flush;
  if (!file_ && !failed_) {
    log_.warn(text("Cannot write to '", path_, "' at step ", snapshot.step,
                   ": its numbers are missing there. Training goes on."));
  }
  failed_ = !file_;
  file_.clear();
}

Stats read_stats(FileSystem& files, const Path& path) {
  const std::string content = files.read(path);
  Stats stats;
  for (std::size_t begin = 0; begin < content.size();) {
    const std::size_t end = std::min(content.find('\n', begin), content.size());
    const std::string_view line = std::string_view(content).substr(begin, end - begin);
    // A last line without its end may be cut within a number and still parse.
    const bool whole = end < content.size();
    if (!line.empty() && !(whole && add_line(line, stats))) ++stats.damaged_lines;
    begin = end + 1;
  }
  return stats;
}

}  // namespace atelier::monitoring
