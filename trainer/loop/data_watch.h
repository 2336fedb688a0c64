// Notices when training waits for its data, and which stage of the loaders keeps it waiting.
// Thread safety: one thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "data/loader.h"

namespace atelier::loop {

class DataWatch {
 public:
  static constexpr int kSteps = 50;         ///< that are looked at together
  static constexpr double kMostWait = 0.1;  ///< of their time
  static constexpr double kQuiet = 600;     ///< after a word. Units: seconds

  /// `readers`: threads that copy, of all streams.
  explicit DataWatch(std::size_t readers) : readers_(static_cast<double>(readers)) {}

  /// After each step. `now`: of any clock, in seconds; `stats`: of all streams since the start.
  /// Returns what is to be said, at most every ten minutes.
  [[nodiscard]] std::optional<std::string> after_step(double now, const data::LoaderStats& stats);

 private:
  [[nodiscard]] std::string slow_stage(double took, const data::LoaderStats& stats) const;

  double readers_;
  int steps_ = -1;  ///< since first_; -1: there is none yet
  double first_ = 0;
  data::LoaderStats before_;
  std::optional<double> said_;
};

}  // namespace atelier::loop
