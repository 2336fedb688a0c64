// Time as a collaborator: whoever waits or stamps takes a Clock, so that tests can move time by
// hand. Durations are std::chrono. Thread safety: all implementations may be shared.
#pragma once

#include <chrono>

namespace atelier {

class Clock {
 public:
  using Steady = std::chrono::steady_clock;
  virtual ~Clock() = default;
  /// Monotonic time, for durations and deadlines.
  [[nodiscard]] virtual Steady::time_point now() const = 0;
  /// Seconds since 1970-01-01 UTC, for stamps that people or Prometheus read.
  [[nodiscard]] virtual double unix_seconds() const = 0;
  virtual void sleep_for(std::chrono::nanoseconds duration) const = 0;
};

/// The clocks of the operating system.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] Steady::time_point now() const override;
  [[nodiscard]] double unix_seconds() const override;
  void sleep_for(std::chrono::nanoseconds duration) const override;
};

[[nodiscard]] inline double seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace atelier
