// Watches whether a rank still does something: enters or leaves a call, changes its phase. While it
// does, `alive` is called now and then; when nothing happened for longer than the limit, `stuck` is
// called, once until something happens again. Calls among ranks have deadlines of their own; this
// is for what has none: a read from a dead file server, an endless loop. A process that stood still
// as a whole (Ctrl-Z, a suspended machine) is not stuck. Thread safety: set_limit from any thread;
// `alive` and `stuck` are called from the watchdog's own.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "launch/comm/flight_recorder.h"

namespace atelier::comm {

struct WatchdogOptions {
  std::function<void()> alive;
  std::function<void(std::chrono::milliseconds silent_for)> stuck;
  std::chrono::milliseconds limit{60'000};
  std::chrono::milliseconds tick{1'000};  ///< between two looks
};

class Watchdog {
 public:
  /// Lifetime: `recorder` outlives it. Neither function may throw.
  Watchdog(const FlightRecorder& recorder, WatchdogOptions options);
  ~Watchdog();  ///< ends the thread; no call comes afterwards
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void set_limit(std::chrono::milliseconds limit) { limit_ms_.store(limit.count()); }

 private:
  void watch();

  const FlightRecorder& recorder_;
  WatchdogOptions options_;
  std::atomic<std::int64_t> limit_ms_;
  std::mutex mutex_;  ///< guards `ending_`
  std::condition_variable changed_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace atelier::comm
