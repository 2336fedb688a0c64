#include "tests/support/fake_clock.h"

#include "launch/base/error.h"

namespace atelier::test {

Clock::Steady::time_point FakeClock::now() const {
  // Not the epoch: code that subtracts a timeout from now() must not reach below it.
  return Steady::time_point(std::chrono::hours(1)) +
         std::chrono::duration_cast<Steady::duration>(elapsed());
}

double FakeClock::unix_seconds() const { return unix_start_ + seconds(elapsed()); }

void FakeClock::advance(std::chrono::nanoseconds duration) const {
  ATELIER_CHECK(duration.count() >= 0, "time does not run backwards");
  const std::lock_guard lock(mutex_);
  elapsed_ += duration;
}

std::chrono::nanoseconds FakeClock::elapsed() const {
  const std::lock_guard lock(mutex_);
  return elapsed_;
}

}  // namespace atelier::test
