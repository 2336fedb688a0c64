// TensorBoard event files: TFRecords (u64 length, its masked CRC-32C, data, its masked CRC-32C, all
// little endian) of `Event` protocol buffers, of which the few fields needed are written by hand
// (tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto). FORMAT.md has both.
// Thread safety: one thread per writer.
#pragma once

#include <cstdint>
#include <fstream>
#include <span>
#include <string>
#include <string_view>

#include "launch/base/clock.h"
#include "launch/base/file_system.h"
#include "launch/base/log.h"
#include "monitoring/snapshot.h"

namespace atelier::monitoring {

struct EventImage {
  std::string tag;
  int height = 0;
  int width = 0;
  int channels = 3;  ///< 1 grey, 3 RGB
  std::string_view png;
};

/// One new event file in a folder; TensorBoard reads all files of a folder in the order of their
/// names. The file begins with a session start at `first_step`, which makes TensorBoard drop what
/// an earlier attempt wrote from that step on. Writing never fails the caller: see StatsWriter.
class EventWriter {
 public:
  /// Lifetime: `clock` and `log` outlive the writer. Throws: IoError when it cannot be created.
  EventWriter(const Path& folder, std::int64_t first_step, const Clock& clock, Log& log);
  /// All samples as scalars (single precision, as the format has it).
  void scalars(const Snapshot& snapshot);
  void image(std::int64_t step, const EventImage& image);
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  void write(std::string_view event);
  const Clock& clock_;
  Log& log_;
  std::string path_;
  std::ofstream file_;
  bool failed_ = false;
};

/// CRC-32C (Castagnoli), RFC 3720 appendix B.4.
[[nodiscard]] std::uint32_t crc32c(std::string_view bytes);

/// One framed record.
[[nodiscard]] std::string tfrecord(std::string_view data);

}  // namespace atelier::monitoring
