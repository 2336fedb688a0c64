#include "launch/base/clock.h"

#include <thread>

namespace atelier {

Clock::Steady::time_point SystemClock::now() const { return Steady::now(); }

double SystemClock::unix_seconds() const {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void SystemClock::sleep_for(std::chrono::nanoseconds duration) const {
  std::this_thread::sleep_for(duration);
}

}  // namespace atelier
