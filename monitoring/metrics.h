// The metric registry of one rank: the only facade over prometheus-cpp. The loop sets values, a
// scrape reads them, and take_snapshot() hands the same numbers to stats.jsonl and TensorBoard.
// Families of Scope::kRankZero are ignored on the other ranks, so that every rank runs the same
// code. No value can hurt: what is not finite is counted in atelier_metrics_rejected_total, refused
// by counters and histograms, and shown as it is by gauges.
// Thread safety: every method may be called from any thread; a call takes below a microsecond.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "launch/base/clock.h"
#include "launch/base/log.h"
#include "monitoring/families.h"
#include "monitoring/meters.h"
#include "monitoring/snapshot.h"

namespace prometheus {
class Collectable;
}

namespace atelier::monitoring {

/// What the program was built from; "none" for what it was built without.
struct BuildVersions {
  std::string version, commit, torch, nccl, mpi, cuda;
};

struct MetricsOptions {
  int rank = 0;
  int world_size = 1;
  int local_rank = 0;
  std::string host;
  std::string gpu;  ///< empty on CPUs
  std::string gpu_uuid;
  BuildVersions build;
  std::vector<std::string> nets;  ///< trained nets, e.g. {"G", "D"}
};

struct RunInfo {
  std::string model, dataset, precision, config_hash;
};

enum class RunState : std::uint8_t {
  kInit,
  kTraining,
  kEvaluating,
  kCheckpointing,
  kStopping,
  kFinished,
  kFailed,
};

/// What one training step leaves behind on this rank.
struct StepRecord {
  std::int64_t step = 0;  ///< position after the step
  double epoch = 0;
  std::uint64_t samples = 0;  ///< this rank's share of the batch
  PhaseDurations phases{};    ///< since the step before; their sum is the step's duration
};

/// Stability indicators (definitions in README.md). "Real" and "held-out" are images.
enum class Indicator : std::uint8_t {
  kDiscriminatorAccuracyReal,
  kDiscriminatorAccuracyFake,
  kSampleDiversity,
  kNearestFakeToReal,
  kNearestRealToFake,
  kFeatureStdPixels,
  kFeatureStdDiscriminator,
  kActiveUnits,
  kKlNats,               ///< per net
  kReconstructionError,  ///< per net
  kPsnrModel,
  kPsnrMeanImage,
};

class Metrics {
 public:
  using Values = std::initializer_list<std::string_view>;

  /// Lifetime: `clock` outlives the registry.
  Metrics(const MetricsOptions& options, const Clock& clock);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// Generic access. `values` are those of the family's labels, in the order of its row, without
  /// `rank`. Throws: InternalError when their number or the family's type does not fit.
  void set(Family gauge, double value, Values values = {});
  void add(Family counter, double amount, Values values = {});
  /// For sources that keep a running total themselves; it may start again at 0 only with them.
  void set_total(Family counter, double total, Values values = {});
  void observe(Family histogram, double value, Values values = {});
  /// Current value, 0 when the series does not exist. Histograms: the number of observations.
  [[nodiscard]] double value(Family family, Values values = {}) const;

  void set_run_info(const RunInfo& info);
  void set_state(RunState state);
  /// Position at the start of training, and where it ends.
  void set_progress(std::int64_t step, std::int64_t target_steps, double epoch);
  void finish_step(const StepRecord& record);
  void heartbeat();
  void set_loss(std::string_view net, std::string_view term, double value) {
    set(Family::kLoss, value, {net, term});
  }
  /// `net` is used by the indicators that exist per net. `held_out`: set_held_out.
  void set_indicator(Indicator indicator, double value, std::string_view net = "");
  /// The indicator's own statistic on held-out images, for comparison.
  void set_held_out(Indicator indicator, double value);
  void finish_quality_eval(std::chrono::nanoseconds duration);
  void set_log_counts(const Log& log);

  /// Counters go on from what an earlier attempt of the run counted, by flat name. Series this rank
  /// does not export are ignored. Call once, before training.
  void continue_counters(const std::map<std::string, double>& counters);
  /// Every counter this rank exports, for the next attempt: flat name, value. In an order that
  /// stays: new ones come last.
  void visit_counters(const std::function<void(std::string_view, double)>& visit) const;

  /// Values now, by Presence; measured ones only when set since the snapshot before. Histograms
  /// give `_sum` and `_count`.
  [[nodiscard]] Snapshot take_snapshot(std::int64_t step);

  /// What an exporter serves. Lifetime: lives as long as the registry.
  [[nodiscard]] std::weak_ptr<prometheus::Collectable> collectable() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

[[nodiscard]] std::string_view indicator_name(Indicator indicator);

}  // namespace atelier::monitoring
