// What a person sees of a running training: one line that rewrites itself on a terminal, plain
// lines now and then when the output is a file or a pipe.
// Thread safety: one thread per printer; formatting is a pure function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "launch/base/clock.h"

namespace atelier::monitoring {

struct NamedLoss {
  std::string name;
  double value = 0;
};

struct Progress {
  std::int64_t step = 0;
  std::int64_t target_steps = 0;
  double images_per_second = 0;
  std::vector<NamedLoss> losses;
  double seconds_left = 0;
};

/// "step 120/3000 4% | 1 min 31 s left | 1,890 images/s | G 0.693 D 1.39", cut after the last part
/// that fits into `width` columns. Values that are not finite show as "nan", "inf" and "?".
[[nodiscard]] std::string format_progress(const Progress& progress, std::size_t width);

struct ProgressOptions {
  bool terminal = false;
  std::size_t width = 0;  ///< columns; 0: ask the terminal each time
  std::chrono::nanoseconds every = std::chrono::seconds(10);
};

/// Options for a stream: a terminal is redrawn ten times a second, anything else gets a line
/// every 10 s.
[[nodiscard]] ProgressOptions progress_options(std::FILE* out);

class ProgressPrinter {
 public:
  /// Lifetime: `out` and `clock` outlive the printer.
  ProgressPrinter(std::FILE* out, ProgressOptions options, const Clock& clock);
  /// Whether enough time has passed since the last one shown; the first is due at once.
  [[nodiscard]] bool is_due() const;
  /// Shows the progress when it is due.
  void update(const Progress& progress);
  /// Shows it in any case and ends the line.
  void finish(const Progress& progress);
  /// Wipes the line, so that something else can be printed; the next update draws it again.
  void clear();

 private:
  void draw(const Progress& progress);
  std::FILE* out_;
  ProgressOptions options_;
  const Clock& clock_;
  std::optional<Clock::Steady::time_point> last_;
};

}  // namespace atelier::monitoring
