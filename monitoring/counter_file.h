// A rank's counters on disk, so that they never go back: not over a resume, and not over a kill
// between two checkpoints. Written in place after every step, a few microseconds; what was handed
// to the operating system outlives the process (FORMAT.md). Thread safety: one thread per writer.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "launch/base/file_system.h"
#include "launch/base/log.h"
#include "monitoring/metrics.h"

namespace atelier::monitoring {

class CounterFile {
 public:
  /// Opens or creates the file. One that cannot be written is a warning, never an error.
  /// Lifetime: `log` outlives it.
  CounterFile(const Path& path, Log& log);
  ~CounterFile();
  CounterFile(const CounterFile&) = delete;
  CounterFile& operator=(const CounterFile&) = delete;

  void write(const Metrics& metrics);
  /// To the device (fsync), for the day the machine itself fails.
  void sync();

 private:
  void give_up(const char* what);

  std::string path_;
  Log& log_;
  int descriptor_ = -1;  ///< -1: given up
  std::string lines_;
};

/// By flat name; empty when there is no file. Lines that are none are left out.
/// Throws: IoError when the file cannot be read.
[[nodiscard]] std::map<std::string, double> read_counters(FileSystem& files, const Path& path);

}  // namespace atelier::monitoring
