#include "trainer/loop/patience.h"

#include <algorithm>
#include <cmath>

#include "launch/base/clock.h"

namespace atelier::loop {
namespace {

constexpr double kSteps = 20;
constexpr double kSections = 5;  // of the longest so far, which a mean would hide

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(std::llround(seconds * 1e3));
}

}  // namespace

Patience::Patience(comm::Comm& comm, const ScheduleConfig& schedule)
    : comm_(comm), schedule_(schedule) {
  enter_section();
}

void Patience::enter_steps(double mean_step_seconds) {
  comm_.set_default_timeout(milliseconds(
      std::max(static_cast<double>(schedule_.patience_seconds), kSteps * mean_step_seconds)));
}

void Patience::enter_section() {
  comm_.set_default_timeout(milliseconds(std::max(
      static_cast<double>(schedule_.slow_patience_seconds), kSections * longest_section_)));
}

void Patience::learn(std::chrono::nanoseconds section) {
  longest_section_ = std::max(longest_section_, seconds(section));
}

}  // namespace atelier::loop
