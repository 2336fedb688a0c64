// Meters: small values that turn single observations into a rate, a mean or a distribution, and
// the stopwatch that says where the time of a step went. They do no input or output.
// Thread safety: one thread per instance.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "launch/base/clock.h"

namespace atelier::monitoring {

/// Mean of what was added since the last reset; 0 when nothing was.
class MeanMeter {
 public:
  void add(double value, double weight = 1);
  void reset() { *this = MeanMeter(); }
  [[nodiscard]] double mean() const { return weight_ > 0 ? sum_ / weight_ : 0; }
  [[nodiscard]] double weight() const { return weight_; }

 private:
  double sum_ = 0;
  double weight_ = 0;
};

/// Amount per second over a sliding window. Whole numbers are summed exactly.
class RateMeter {
 public:
  explicit RateMeter(std::chrono::nanoseconds window, Clock::Steady::time_point start);
  void add(Clock::Steady::time_point now, double amount);
  /// Shorter than the window at first: what was added, over the time since the start.
  [[nodiscard]] double per_second(Clock::Steady::time_point now) const;

 private:
  struct Entry {
    Clock::Steady::time_point time;
    double amount;
  };
  std::chrono::nanoseconds window_;
  Clock::Steady::time_point start_;
  std::deque<Entry> entries_;
  double sum_ = 0;  ///< of the entries
};

struct StepTimes {
  std::size_t count = 0;  ///< of the durations below
  double mean_seconds = 0;
  double median_seconds = 0;
  double p99_seconds = 0;
  double max_seconds = 0;
};

/// Distribution of the last `capacity` step durations.
class StepTimeMeter {
 public:
  explicit StepTimeMeter(std::size_t capacity = 256) : capacity_(capacity) {}
  void add(std::chrono::nanoseconds duration);
  /// All zero when nothing was added. Quantiles are nearest-rank.
  [[nodiscard]] StepTimes statistics() const;

 private:
  std::size_t capacity_;
  std::size_t next_ = 0;
  std::vector<double> seconds_;
};

/// Where the loop's time can go; the label `phase` of atelier_step_phase_seconds_total.
enum class Phase : std::uint8_t {
  kDataWait,
  kH2d,
  kForward,
  kBackward,
  kAllreduceWait,
  kOptimizer,
  kMetrics,
  kCheckpointStall,
  kOther,
};
inline constexpr std::size_t kPhases = 9;
using PhaseDurations = std::array<std::chrono::nanoseconds, kPhases>;

[[nodiscard]] std::string_view phase_name(Phase phase);

/// A stopwatch that is always in exactly one phase, so that the phases sum to the wall time to the
/// nanosecond. Starts in kOther. Lifetime: `clock` outlives the timer.
class PhaseTimer {
 public:
  explicit PhaseTimer(const Clock& clock);
  /// Ends the current phase and returns it.
  Phase enter(Phase phase);
  /// Durations since the last lap; the current phase goes on.
  [[nodiscard]] PhaseDurations lap();
  /// Called at every change, from the timing thread.
  void on_enter(std::function<void(Phase)> listener) { listener_ = std::move(listener); }

 private:
  void account();
  const Clock& clock_;
  Clock::Steady::time_point last_;
  Phase phase_ = Phase::kOther;
  PhaseDurations durations_{};
  std::function<void(Phase)> listener_;
};

/// Enters a phase and, at the end of the block, the one before it again.
class PhaseScope {
 public:
  PhaseScope(PhaseTimer& timer, Phase phase) : timer_(timer), before_(timer.enter(phase)) {}
  ~PhaseScope() { timer_.enter(before_); }
  PhaseScope(const PhaseScope&) = delete;
  PhaseScope& operator=(const PhaseScope&) = delete;

 private:
  PhaseTimer& timer_;
  Phase before_;
};

[[nodiscard]] std::chrono::nanoseconds total(const PhaseDurations& durations);

}  // namespace atelier::monitoring
