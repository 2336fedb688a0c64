#include "trainer/bench/timing.h"

#include <algorithm>

#include "launch/base/error.h"

namespace atelier::bench {

Quantiles quantiles(std::vector<double> values) {
  ATELIER_CHECK(!values.empty(), "quantiles of something");
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1) + 0.5)];
  };
  return {.median = at(0.5), .tenth = at(0.1), .ninetieth = at(0.9)};
}

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::vector<std::vector<double>> take_turns(std::size_t rounds,
                                            const std::vector<std::function<void()>>& contestants) {
  std::vector<std::vector<double>> seconds(contestants.size());
  for (std::size_t round = 0; round <= rounds; ++round) {
    for (std::size_t i = 0; i < contestants.size(); ++i) {
      const double taken = seconds_of(contestants[i]);
      if (round > 0) seconds[i].push_back(taken);
    }
  }
  return seconds;
}

Quantiles ratios(const std::vector<double>& first, const std::vector<double>& second) {
  ATELIER_CHECK(first.size() == second.size(), "as many of both");
  std::vector<double> values;
  for (std::size_t i = 0; i < first.size(); ++i) values.push_back(first[i] / second[i]);
  return quantiles(values);
}

}  // namespace atelier::bench
