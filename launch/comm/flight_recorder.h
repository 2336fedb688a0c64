// The last calls of a rank and what it was doing, so that a hang or a lost rank can be explained
// afterwards: who is in which call, since when, and who did not come. In memory until a file is
// opened; then in that file, mapped, where it outlives a process that is killed. Recording costs
// some hundred nanoseconds a call and cannot fail. Of calls that have not ended (on a device many
// may be under way) the oldest is kept however many follow: it is what a hang is about. Thread
// safety: one thread at a time enters calls, any leaves them, one sets the phase; anyone reads the
// file, and sees of a living rank at worst one call half written.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launch/base/file_system.h"
#include "launch/base/mapped_file.h"
#include "launch/comm/call.h"

namespace atelier::comm {

struct RecorderFile;  ///< the file's layout, known to its source alone

class FlightRecorder {
 public:
  static constexpr std::size_t kCalls = 256;

  FlightRecorder(int rank, int world);
  ~FlightRecorder();
  FlightRecorder(const FlightRecorder&) = delete;
  FlightRecorder& operator=(const FlightRecorder&) = delete;

  /// Goes on in this file, with what was recorded so far; an old file is replaced.
  /// Throws: IoError; then it goes on in memory.
  void open_file(const Path& path);

  void enter(const CallRecord& call) noexcept;
  void leave() noexcept;
  /// Of a call that others may have followed meanwhile: it ran on a device.
  void leave(std::uint64_t sequence) noexcept;
  /// What the rank is at between calls: "data_wait". Cut off after 31 bytes.
  void set_phase(std::string_view phase) noexcept;

  /// Grows with every one of these calls. From any thread.
  [[nodiscard]] std::uint64_t signs_of_life() const noexcept {
    return signs_.load(std::memory_order_relaxed);
  }

 private:
  void sign() noexcept { signs_.fetch_add(1, std::memory_order_relaxed); }

  std::mutex mutex_;       ///< a call may end while it has to make room for another
  RecorderFile* content_;  ///< in own memory or in the file
  std::unique_ptr<RecorderFile> memory_;
  std::unique_ptr<MappedFile> file_;
  std::atomic<std::uint64_t> signs_{0};
};

struct RecordedCall {
  CallRecord call;
  double entered = 0;  ///< Units: unix seconds
  double left = 0;     ///< 0: still inside
};

/// What one rank's file tells.
struct RankTrace {
  int rank = 0;
  int world = 1;
  std::int64_t process = 0;
  std::string phase;
  double phase_since = 0;           ///< Units: unix seconds
  std::vector<RecordedCall> calls;  ///< oldest first, at most kCalls and one that has not ended
};

/// Throws: IoError; DataError when it is no recorder's file, or one of another version.
[[nodiscard]] RankTrace read_trace(FileSystem& files, const Path& path);

/// One line per rank with its last call and phase, and one that names who is waited for, in which
/// call. `now`, in unix seconds, is what times are counted up to.
[[nodiscard]] std::string explain(std::span<const RankTrace> traces, double now);

}  // namespace atelier::comm
