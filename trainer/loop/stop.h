// Being asked to stop. SIGUSR2 (which mpirun forwards to all ranks), SIGTERM and SIGINT ask the
// loop to finish its step, save, and leave with exit code 75. The handler only sets a flag; the
// loop carries it to the other ranks in its fused scalars, so one signalled rank is enough. A
// second SIGINT ends the process at once. Thread safety: `requested` from any thread.
#pragma once

#include <memory>
#include <string_view>

namespace atelier::loop {

class StopSignals {
 public:
  /// Installs the handlers. One instance per process at a time.
  StopSignals();
  ~StopSignals();  ///< puts the handlers from before back
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  [[nodiscard]] bool requested() const;
  /// "SIGUSR2"; empty when none came.
  [[nodiscard]] std::string_view signal_name() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace atelier::loop
