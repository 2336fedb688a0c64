// The folder of a run and what stands in it: run.json (identity, attempts), config.toml (resolved),
// log.txt, stats.jsonl, counters/, recorder/, TensorBoard events, pictures, checkpoints/,
// outcome.json. No torch here. Thread safety: one thread; written by rank 0 alone.
#pragma once

#include <cstdint>
#include <string>

#include "checkpoints/resume.h"
#include "launch/base/clock.h"
#include "launch/base/file_system.h"

namespace atelier::loop {

struct RunPaths {
  Path folder;
  [[nodiscard]] Path identity() const { return folder / "run.json"; }
  [[nodiscard]] Path config() const { return folder / "config.toml"; }
  [[nodiscard]] Path log() const { return folder / "log.txt"; }
  [[nodiscard]] Path stats() const { return folder / "stats.jsonl"; }
  [[nodiscard]] Path counters(int rank) const {
    return folder / "counters" / ("rank-" + std::to_string(rank));
  }
  [[nodiscard]] Path recorders() const { return folder / "recorder"; }
  [[nodiscard]] Path recorder(int rank) const {
    return recorders() / ("rank-" + std::to_string(rank));
  }
  [[nodiscard]] Path checkpoints() const { return folder / "checkpoints"; }
  [[nodiscard]] Path outcome() const { return folder / "outcome.json"; }
};

struct RunIdentity {
  std::string run_id;
  std::int64_t attempt = 1;  ///< starts of this run so far, this one included
  bool operator==(const RunIdentity&) const = default;
};

[[nodiscard]] std::string to_json(const RunIdentity& identity);
/// Throws: DataError when the text is not a run.json; `label` names it.
[[nodiscard]] RunIdentity parse_identity(const std::string& json, const std::string& label);

/// How `train` was told to treat a run folder that exists: `given` is false without `--resume`.
struct ResumeChoice {
  bool given = false;
  checkpoints::ResumeRequest request{checkpoints::ResumeMode::kNever, {}};
};

/// Whether this start may use the folder, before anything in it is touched; `command` started this
/// run but for --run and --resume: messages complete it. Rank 0 alone.
/// Throws: OutputError when it holds a run and no resume was asked for, with both commands to go
/// on, or something else; ConfigError for `must` without a run.
void check_run_folder(FileSystem& files, const RunPaths& paths, const ResumeChoice& resume,
                      const std::string& command);

/// What each rank is doing, and who waits for whom, from the recorders' files; `now` in unix
/// seconds. A file that cannot be read is told as well. Empty when there are none. Throws: IoError.
[[nodiscard]] std::string explain_ranks(FileSystem& files, const RunPaths& paths, double now);

/// Creates the folder, or opens it for one more attempt. Requires: check_run_folder passed.
/// Rank 0 alone. Throws: OutputError when it cannot be created or written to.
[[nodiscard]] RunIdentity open_run_folder(FileSystem& files, const Clock& clock,
                                          const RunPaths& paths);

}  // namespace atelier::loop
