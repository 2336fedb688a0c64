// How long ranks wait for one another: in steps, a multiple of what steps take; around them (start,
// evaluation, save) longer, and longer still where such a section took long before. Sets the
// deadline of the Comm, and the limit of a watchdog. Thread safety: one thread.
#pragma once

#include <chrono>

#include "launch/comm/comm.h"
#include "launch/comm/watchdog.h"
#include "trainer/loop/config.h"

namespace atelier::loop {

class Patience {
 public:
  /// Begins outside of steps. Lifetime: both outlive it.
  Patience(comm::Comm& comm, const ScheduleConfig& schedule);

  /// The next waits belong to steps; `mean_step_seconds` so far.
  void enter_steps(double mean_step_seconds);
  /// The next waits belong to a section outside of steps.
  void enter_section();
  /// One such section is over and took so long.
  void learn(std::chrono::nanoseconds section);
  /// From now on for this one too, until it is given none. Lifetime: until then.
  void watch_with(comm::Watchdog* watchdog);

 private:
  void set(double seconds);

  comm::Comm& comm_;
  const ScheduleConfig& schedule_;
  comm::Watchdog* watchdog_ = nullptr;
  std::chrono::milliseconds limit_{};
  double longest_section_ = 0;  ///< Units: seconds
};

}  // namespace atelier::loop
