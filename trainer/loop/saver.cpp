#include "trainer/loop/saver.h"

#include "launch/base/clock.h"
#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/together.h"

namespace atelier::loop {
namespace {

constexpr int kFailuresInARow = 3;

}  // namespace

Saver::Saver(FileSystem& files, Log& log, const RunPaths& paths, const ScheduleConfig& schedule,
             comm::Comm& comm)
    : files_(&files),
      log_(&log),
      comm_(&comm),
      folder_(paths.checkpoints()),
      every_steps_(schedule.checkpoint_steps),
      store_(files, log,
             {.directory = paths.checkpoints(),
              .keep_last = static_cast<int>(schedule.checkpoint_keep)}) {}

void Saver::attach(monitoring::Metrics& metrics) {
  metrics_ = &metrics;
  metrics.add(monitoring::Family::kCheckpointFallbacks, fallbacks_ > 0 ? 1 : 0);
  metrics.add(monitoring::Family::kCheckpointVerifyFailures, static_cast<double>(fallbacks_));
  metrics.set(monitoring::Family::kCheckpointLastStep, static_cast<double>(resumed_step_));
}

std::optional<checkpoints::Loaded> Saver::resume(const ResumeChoice& choice) {
  if (!choice.given) return std::nullopt;
  checkpoints::Resume resume = checkpoints::resume_together(*comm_, store_, choice.request);
  fallbacks_ = resume.report.rejected.size();
  if (resume.loaded) resumed_step_ = resume.loaded->step;
  return std::move(resume.loaded);
}

void Saver::begin_from(std::int64_t step, const ResumeChoice& choice) {
  if (!choice.given || choice.request.mode != checkpoints::ResumeMode::kPath) return;
  static_cast<void>(on_rank_zero(*comm_, [&]() -> std::string {
    store_.set_aside_after(step);
    return "";
  }));
}

void Saver::save(const StagedState& state, bool last) {
  checkpoints::SaveResult result;
  const std::string problem = on_rank_zero(*comm_, [&] {
    result = store_.save(state.contents());
    count(result, state.contents().step);
    return result.ok ? std::string() : result.reason;
  });
  failures_ = problem.empty() ? 0 : failures_ + 1;
  if (problem.empty()) return;
  if (last || failures_ >= kFailuresInARow) {
    throw IoError(text(last ? "The last checkpoint could not be saved: "
                            : "Three checkpoints in a row could not be saved: ",
                       problem),
                  "Free space or mend the disk, then go on with --resume must.");
  }
  if (comm_->rank() == 0) {  // the store has said why
    log_->warn("Training goes on without that checkpoint; older ones are untouched.");
  }
}

void Saver::count(const checkpoints::SaveResult& result, std::int64_t step) {
  using monitoring::Family;
  monitoring::Metrics& metrics = *metrics_;
  metrics.add(Family::kCheckpoints, 1, {result.ok ? "success" : "failure"});
  if (!result.ok) return;
  metrics.observe(Family::kCheckpointDuration, result.write_seconds, {"write"});
  metrics.observe(Family::kCheckpointDuration, result.publish_seconds, {"commit"});
  metrics.set(Family::kCheckpointLastStep, static_cast<double>(step));
  metrics.set(Family::kCheckpointLastSuccess, SystemClock().unix_seconds());
  metrics.set(Family::kCheckpointSizeBytes, static_cast<double>(result.bytes));
  try {
    metrics.set(Family::kCheckpointRetained, static_cast<double>(store_.list().size()));
    metrics.set(Family::kCheckpointFreeBytes, static_cast<double>(files_->free_bytes(folder_)));
  } catch (const IoError& problem) {  // the checkpoint is good all the same
    log_->warn(problem.what());
  }
}

}  // namespace atelier::loop
