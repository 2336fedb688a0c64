// Everything that lets people watch a run: metrics and their exporter, the discovery file,
// stats.jsonl and TensorBoard (rank 0), and the progress line (rank 0). One snapshot feeds all of
// them, so their numbers agree. Thread safety: one thread; scrapes come on the exporter's own.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launch/base/log.h"
#include "launch/comm/comm.h"
#include "monitoring/counter_file.h"
#include "monitoring/discovery.h"
#include "monitoring/exporter.h"
#include "monitoring/meters.h"
#include "monitoring/metrics.h"
#include "monitoring/progress.h"
#include "monitoring/records.h"
#include "monitoring/tensorboard.h"
#include "trainer/engine/engine.h"
#include "trainer/loop/evaluation.h"
#include "trainer/loop/run_folder.h"

namespace atelier::loop {

struct MonitorOptions {
  monitoring::MonitoringConfig config;
  RunPaths paths;
  RunIdentity identity;
  std::vector<std::string> nets;
  monitoring::RunInfo run;
  std::int64_t first_step = 0;
  std::int64_t target_steps = 0;
  std::int64_t global_batch = 0;
  monitoring::BuildVersions build;
};

class Monitor {
 public:
  /// Collective: all ranks (the addresses of the exporters are gathered).
  Monitor(const MonitorOptions& options, comm::Comm& comm, FileSystem& files, const Clock& clock,
          Log& log);

  [[nodiscard]] monitoring::Metrics& metrics() { return metrics_; }
  [[nodiscard]] monitoring::PhaseTimer& timer() { return timer_; }

  /// Takes over what a step reports and shows progress when it is due.
  /// Returns the seconds since the last call.
  double finish_step(const engine::StepReport& report, std::int64_t step, double epoch,
                     std::uint64_t local_images, std::uint64_t global_images);
  /// Takes over the losses and norms of a step, where there are any.
  void take_numbers(const engine::StepReport& report);
  /// Accounts for the time since the last call that belongs to no step.
  void finish_section();
  void finish_evaluation(const std::vector<IndicatorValue>& values,
                         std::chrono::nanoseconds duration);
  void add_picture(std::int64_t step, const std::string& tag, const at::Tensor& picture_HWC);
  /// The record of a step, once all that belongs to it is done: when it is due, when the step was
  /// evaluated, or in any case.
  void record(std::int64_t step, bool in_any_case);
  [[nodiscard]] double images_per_second() const;
  /// Wipes the progress line, so that a log line can be printed.
  void before_log();
  /// Brings to the device what a checkpoint must not be ahead of.
  void sync() { counters_.sync(); }
  /// At an end by an error: state, last record, counters. Local.
  void fail(std::int64_t step);
  /// At the clean end of a run.
  void finish();

 private:
  /// What to show now.
  const monitoring::Progress& progress();

  MonitorOptions options_;
  comm::Comm* comm_;
  const Clock* clock_;
  Log* log_;
  monitoring::Metrics metrics_;
  monitoring::CounterFile counters_;
  monitoring::Exporter exporter_;
  monitoring::Discovery discovery_;
  std::optional<monitoring::StatsWriter> stats_;
  std::optional<monitoring::EventWriter> events_;
  std::optional<monitoring::ProgressPrinter> progress_;
  monitoring::Progress shown_;
  bool evaluated_ = false;  ///< since the last record
  monitoring::PhaseTimer timer_;
  monitoring::RateMeter rate_;
};

}  // namespace atelier::loop
