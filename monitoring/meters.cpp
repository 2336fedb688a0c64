#include "monitoring/meters.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace atelier::monitoring {

void MeanMeter::add(double value, double weight) {
  sum_ += value * weight;
  weight_ += weight;
}

RateMeter::RateMeter(std::chrono::nanoseconds window, Clock::Steady::time_point start)
    : window_(window), start_(start) {}

void RateMeter::add(Clock::Steady::time_point now, double amount) {
  entries_.push_back({now, amount});
  sum_ += amount;
  for (; entries_.front().time + window_ <= now; entries_.pop_front()) {
    sum_ -= entries_.front().amount;
  }
}

double RateMeter::per_second(Clock::Steady::time_point now) const {
  const std::chrono::nanoseconds span = std::min<std::chrono::nanoseconds>(window_, now - start_);
  if (span.count() <= 0) return 0;
  double amount = sum_;
  for (auto left = entries_.begin(); left != entries_.end() && left->time + window_ <= now;
       ++left) {
    amount -= left->amount;
  }
  return amount / seconds(span);
}

void StepTimeMeter::add(std::chrono::nanoseconds duration) {
  if (seconds_.size() < capacity_) {
    seconds_.push_back(seconds(duration));
  } else {
    seconds_[next_] = seconds(duration);
    next_ = (next_ + 1) % capacity_;
  }
}

StepTimes StepTimeMeter::statistics() const {
  if (seconds_.empty()) return {};
  std::vector<double> sorted = seconds_;
  std::sort(sorted.begin(), sorted.end());
  const double count = static_cast<double>(sorted.size());
  const auto quantile = [&](double q) {
    return sorted[static_cast<std::size_t>(std::max(0.0, std::ceil(q * count) - 1))];
  };
  return {sorted.size(), std::accumulate(sorted.begin(), sorted.end(), 0.0) / count, quantile(0.5),
          quantile(0.99), sorted.back()};
}

std::string_view phase_name(Phase phase) {
  constexpr std::array<std::string_view, kPhases> kNames{
      "data_wait", "h2d",     "forward",          "backward", "allreduce_wait",
      "optimizer", "metrics", "checkpoint_stall", "other"};
  return kNames.at(static_cast<std::size_t>(phase));
}

PhaseTimer::PhaseTimer(const Clock& clock) : clock_(clock), last_(clock.now()) {}

void PhaseTimer::account() {
  const auto now = clock_.now();
  durations_.at(static_cast<std::size_t>(phase_)) += now - last_;
  last_ = now;
}

Phase PhaseTimer::enter(Phase phase) {
  account();
  const Phase before = phase_;
  phase_ = phase;
  if (listener_) listener_(phase);
  return before;
}

PhaseDurations PhaseTimer::lap() {
  account();
  const PhaseDurations out = durations_;
  durations_ = {};
  return out;
}

std::chrono::nanoseconds total(const PhaseDurations& durations) {
  return std::accumulate(durations.begin(), durations.end(), std::chrono::nanoseconds(0));
}

}  // namespace atelier::monitoring
