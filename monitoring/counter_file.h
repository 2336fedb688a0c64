// A rank's counters on disk, so that they never go back: not over a resume, and not over a kill
// between two checkpoints. Stored after every step into a mapped file, which outlives the process:
// no system call, and no number half written (FORMAT.md). Thread safety: one thread per writer.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>

#include "launch/base/file_system.h"
#include "launch/base/log.h"
#include "launch/base/mapped_file.h"
#include "monitoring/metrics.h"

namespace atelier::monitoring {

class CounterFile {
 public:
  /// The file is made, and one of an earlier attempt replaced, by the first `write`. One that
  /// cannot be made is a warning, never an error. Lifetime: `log` outlives it.
  CounterFile(Path path, Log& log) : path_(std::move(path)), log_(log) {}

  void write(const Metrics& metrics);
  /// To the device, for the day the machine itself fails.
  void sync();

 private:
  /// A file with room for `counters` and as many more.
  void make(const Metrics& metrics, std::size_t counters);
  void give_up(const std::string& why);

  Path path_;
  Log& log_;
  std::unique_ptr<MappedFile> file_;
  bool given_up_ = false;
};

/// By flat name; empty when there is no file, or one of another format. What is damaged is left
/// out. Throws: IoError when the file cannot be read.
[[nodiscard]] std::map<std::string, double> read_counters(FileSystem& files, const Path& path);

}  // namespace atelier::monitoring
