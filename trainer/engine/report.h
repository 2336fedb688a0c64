// What a step tells. Thread safety: values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/engine/non_finite.h"

namespace atelier::engine {

struct LossValue {
  std::string net;
  std::string term;
  double value = 0;
  bool present = false;  ///< false: this step did not compute it (lazy penalties)
};

struct NetValue {
  std::string net;
  double gradient_norm = 0;
  double parameter_norm = 0;  ///< of the trained weights, after the step
};

/// On a device most steps have no numbers: losses and nets are empty then.
struct StepReport {
  std::int64_t step = -1;  ///< whose losses and norms these are; on a device one of those before
  std::vector<LossValue> losses = {};
  std::vector<NetValue> nets = {};
  std::vector<double> flags = {};  ///< sums over ranks of what the caller passed in, now
  std::int64_t reduced_bytes = 0;
  /// Steps that left some net as it was, since a value was not finite; on a device of all steps
  /// since the last numbers.
  std::int64_t skipped = 0;
  std::vector<NonFinite> non_finite = {};  ///< what was found about each such net
  /// Why from this step on the device is asked for each operation, where it should have repeated
  /// recorded steps; empty otherwise.
  std::string not_recorded = {};
  [[nodiscard]] bool updated() const { return skipped == 0; }
};

}  // namespace atelier::engine
