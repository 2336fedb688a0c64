// outcome.json: how a run ended and what its model is worth, for `compare`, scripts and people.
// No torch here. Thread safety: values and pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "launch/base/file_system.h"

namespace atelier::loop {

enum class Ending : std::uint8_t {
  kFinished,
  kStopped,  ///< asked to; saved, and can be resumed
  kFailed,   ///< by an error; can be resumed from its last checkpoint
};

struct Outcome {
  std::string family;
  Ending ending = Ending::kFailed;
  int exit_code = 0;
  std::string error;  ///< what it failed by
  std::int64_t step = 0;
  std::int64_t target_steps = 0;
  std::int64_t images = 0;
  double training_seconds = 0;  ///< in steps: evaluation, pictures and checkpoints left out
  int world = 1;
  std::int64_t threads = 1;
  std::string precision;
  std::string dataset_id;
  std::map<std::string, std::int64_t> parameters;  ///< per net
  std::map<std::string, double> indicators;        ///< of the last evaluation, by metric name

  [[nodiscard]] double images_per_second() const {
    return training_seconds > 0 ? static_cast<double>(images) / training_seconds : 0;
  }
};

/// Throws: IoError.
void write_outcome(FileSystem& files, const Path& path, const Outcome& outcome);
/// Throws: IoError; DataError when it is not an outcome.
[[nodiscard]] Outcome read_outcome(FileSystem& files, const Path& path);

/// Whether it says so; an outcome that is missing or cannot be read says nothing. Throws: IoError.
[[nodiscard]] bool has_finished(FileSystem& files, const Path& path);

/// "finished", "stopped", "failed".
[[nodiscard]] std::string name_of(Ending ending);

/// Two or three lines for the end of a run.
[[nodiscard]] std::string summary(const Outcome& outcome, const std::string& folder);

}  // namespace atelier::loop
