// Time that moves only when a test says so, or when somebody sleeps: sleeping returns at once and
// moves the time forward by what was asked for. Thread safety: may be shared.
#pragma once

#include <mutex>

#include "launch/base/clock.h"

namespace atelier::test {

class FakeClock final : public Clock {
 public:
  explicit FakeClock(double unix_start_seconds = 1.7e9) : unix_start_(unix_start_seconds) {}
  [[nodiscard]] Steady::time_point now() const override;
  [[nodiscard]] double unix_seconds() const override;
  void sleep_for(std::chrono::nanoseconds duration) const override { advance(duration); }
  /// Requires: not negative.
  void advance(std::chrono::nanoseconds duration) const;
  /// How much time has passed since construction.
  [[nodiscard]] std::chrono::nanoseconds elapsed() const;

 private:
  const double unix_start_;
  mutable std::mutex mutex_;
  mutable std::chrono::nanoseconds elapsed_{0};
};

}  // namespace atelier::test
