// Checkpoints of a running training: rank 0 writes, all ranks learn the result together, metrics
// tell how it went. A failed save costs a warning; training goes on. Thread safety: one thread.
#pragma once

#include <optional>

#include "checkpoints/resume.h"
#include "checkpoints/store.h"
#include "launch/base/log.h"
#include "launch/comm/comm.h"
#include "monitoring/metrics.h"
#include "trainer/loop/config.h"
#include "trainer/loop/run_folder.h"
#include "trainer/loop/state.h"

namespace atelier::loop {

class Saver {
 public:
  /// Lifetime: `files`, `log` and `comm` outlive the saver.
  Saver(FileSystem& files, Log& log, const RunPaths& paths, const ScheduleConfig& schedule,
        comm::Comm& comm);
  /// Metrics exist only after a resume is settled; until then events are kept for them.
  void attach(monitoring::Metrics& metrics);

  /// The checkpoint to go on from; nothing for a fresh start. Collective: all ranks.
  /// Throws: as checkpoints::resume_together.
  [[nodiscard]] std::optional<checkpoints::Loaded> resume(const ResumeChoice& choice);

  /// The run goes on from `step` of the checkpoint that `choice` named: newer ones are put aside.
  /// Collective: all ranks. Throws: IoError.
  void begin_from(std::int64_t step, const ResumeChoice& choice);

  /// Saves on rank 0. Collective: all ranks. Throws IoError on all ranks when the save that must
  /// not fail (`last`) fails, or the third in a row.
  void save(const StagedState& state, bool last);

 private:
  void count(const checkpoints::SaveResult& result, std::int64_t step);

  FileSystem* files_;
  Log* log_;
  comm::Comm* comm_;
  Path folder_;
  std::int64_t every_steps_;
  checkpoints::Store store_;
  monitoring::Metrics* metrics_ = nullptr;
  std::size_t fallbacks_ = 0;
  std::int64_t resumed_step_ = 0;
  int failures_ = 0;
};

}  // namespace atelier::loop
