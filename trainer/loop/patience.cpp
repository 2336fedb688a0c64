#include "trainer/loop/patience.h"

#include <algorithm>
#include <cmath>

#include "launch/base/clock.h"

namespace atelier::loop {
namespace {

constexpr double kSteps = 20;
constexpr double kSections = 5;  // of the longest so far, which a mean would hide

}  // namespace

Patience::Patience(comm::Comm& comm, const ScheduleConfig& schedule)
    : comm_(comm), schedule_(schedule) {
  enter_section();
}

void Patience::enter_steps(double mean_step_seconds) {
  set(std::max(static_cast<double>(schedule_.patience_seconds), kSteps * mean_step_seconds));
}

void Patience::enter_section() {
  set(std::max(static_cast<double>(schedule_.slow_patience_seconds), kSections * longest_section_));
}

void Patience::watch_with(comm::Watchdog* watchdog) {
  watchdog_ = watchdog;
  if (watchdog_ != nullptr) watchdog_->set_limit(limit_);
}

void Patience::set(double seconds) {
  limit_ = std::chrono::milliseconds(std::llround(seconds * 1e3));
  comm_.set_default_timeout(limit_);
  if (watchdog_ != nullptr) watchdog_->set_limit(limit_);
}

void Patience::learn(std::chrono::nanoseconds section) {
  longest_section_ = std::max(longest_section_, seconds(section));
}

}  // namespace atelier::loop
