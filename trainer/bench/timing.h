// What benchmarks share: repeated measurements and what is said of them. No torch here.
// Thread safety: pure functions.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <vector>

namespace atelier::bench {

/// Of several measurements of one thing, in their unit.
struct Quantiles {
  double median = 0;
  double tenth = 0;      ///< a tenth of them is below
  double ninetieth = 0;  ///< nine tenths are
};

/// Requires: at least one value.
[[nodiscard]] Quantiles quantiles(std::vector<double> values);

/// Seconds that `work` took.
[[nodiscard]] double seconds_of(const std::function<void()>& work);

/// Times the contestants in turn, `rounds` times after one round that is not counted, so that a
/// machine that changes its speed treats all alike. Returns seconds, by contestant and round.
[[nodiscard]] std::vector<std::vector<double>> take_turns(
    std::size_t rounds, const std::vector<std::function<void()>>& contestants);

/// Median of first[i] / second[i]: what stands above 1 took longer.
[[nodiscard]] Quantiles ratios(const std::vector<double>& first, const std::vector<double>& second);

}  // namespace atelier::bench
