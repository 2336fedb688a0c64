// stats.jsonl: what a run measured, one JSON object a line (FORMAT.md). Each start of a run is an
// attempt; lines are only ever appended, and a reader takes the highest attempt of a step.
// Thread safety: one thread per writer; reading is a pure function of the file.
#pragma once

#include <cstdint>
#include <fstream>
#include <map>
#include <optional>
#include <string>

#include "launch/base/file_system.h"
#include "launch/base/log.h"
#include "monitoring/snapshot.h"

namespace atelier::monitoring {

/// One line without its end: keys sorted, numbers in the fewest digits that read back the same
/// bits, null for what is not finite.
[[nodiscard]] std::string stats_line(const Snapshot& snapshot, std::int64_t attempt);

/// Appends lines, each handed to the operating system at once. A line that cannot be written is
/// one warning until writing works again; training never stops for it.
class StatsWriter {
 public:
  /// Lifetime: `log` outlives the writer. Throws: IoError when the file cannot be opened.
  StatsWriter(const Path& path, std::int64_t attempt, Log& log);
  void append(const Snapshot& snapshot);
  [[nodiscard]] std::int64_t attempt() const { return attempt_; }

 private:
  std::string path_;
  std::int64_t attempt_;
  Log& log_;
  std::ofstream file_;
  bool failed_ = false;
};

struct StatsRecord {
  std::int64_t attempt = 0;
  double unix_seconds = 0;
  std::map<std::string, std::optional<double>> values;  ///< by flat name; empty: was not finite
};

struct Stats {
  std::map<std::int64_t, StatsRecord> steps;  ///< by step, of its highest attempt
  std::int64_t last_attempt = 0;              ///< 0: no line yet
  std::int64_t damaged_lines = 0;             ///< torn by a crash; left out
};

/// Throws: IoError when the file cannot be read. A line that is no record is counted, not thrown:
/// a run killed in the middle of a line leaves one.
[[nodiscard]] Stats read_stats(FileSystem& files, const Path& path);

}  // namespace atelier::monitoring
