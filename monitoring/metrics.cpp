#include "monitoring/metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <map>
#include <mutex>
#include <span>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "monitoring/exposition_text.h"
#include "monitoring/process_collector.h"

namespace atelier::monitoring {
namespace {

using ValueSpan = std::span<const std::string_view>;

const prometheus::Histogram::BucketBoundaries kSecondsBuckets{
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 20, 60};

/// The registry and the process's own metrics as one source.
class Source final : public prometheus::Collectable {
 public:
  [[nodiscard]] std::vector<prometheus::MetricFamily> Collect() const override {
    std::vector<prometheus::MetricFamily> out = registry.Collect();
    for (auto& family : collect_process_metrics()) out.push_back(std::move(family));
    return out;
  }
  prometheus::Registry registry;
};

/// One of the three pointers is set, by the family's type.
struct Series {
  const FamilyRow* row = nullptr;
  prometheus::Gauge* gauge = nullptr;
  prometheus::Counter* counter = nullptr;
  prometheus::Histogram* histogram = nullptr;
  std::vector<std::string> values;  ///< as given
  std::shared_ptr<const SeriesName> name;
  std::shared_ptr<const SeriesName> count_name;  ///< of a histogram; `name` is its sum's
  double source_total = 0;                       ///< last total of set_total
  bool fresh = false;                            ///< set since the last snapshot
};

std::vector<std::string> split(std::string_view values) {
  std::vector<std::string> out;
  for (std::size_t begin = 0; begin <= values.size();) {
    const std::size_t end = std::min(values.find('|', begin), values.size());
    out.emplace_back(values.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

struct IndicatorRow {
  std::string_view name;
  Family family;
  std::string_view value;  ///< of the family's label
};

const IndicatorRow& indicator_row(Indicator indicator) {
  static constexpr IndicatorRow kRows[] = {
      {"discriminator_accuracy", Family::kDiscriminatorAccuracy, "real"},
      {"discriminator_accuracy_fake", Family::kDiscriminatorAccuracy, "fake"},
      {"sample_diversity", Family::kSampleDiversity, ""},
      {"nearest_neighbour_fake_to_real", Family::kNearestNeighbour, "fake_to_real"},
      {"nearest_neighbour_real_to_fake", Family::kNearestNeighbour, "real_to_fake"},
      {"feature_std_pixels", Family::kFeatureStd, "pixels"},
      {"feature_std_discriminator", Family::kFeatureStd, "discriminator"},
      {"active_units", Family::kActiveUnits, ""},
      {"kl_nats", Family::kKlNats, ""},
      {"reconstruction_error", Family::kReconstructionError, ""},
      {"reconstruction_psnr_model", Family::kReconstructionPsnr, "model"},
      {"reconstruction_psnr_mean_image", Family::kReconstructionPsnr, "mean_image"},
  };
  return kRows[static_cast<std::size_t>(indicator)];
}

}  // namespace

struct Metrics::Impl {
  Impl(const MetricsOptions& given, const Clock& a_clock) : options(given), clock(a_clock) {
    source = std::make_shared<Source>();
    for (const FamilyRow& one : families()) create_known_series(one);
  }

  [[nodiscard]] bool exports(const FamilyRow& family) const {
    return family.scope == Scope::kPerRank || options.rank == 0;
  }

  /// Every combination of the label values known at the start.
  void create_known_series(const FamilyRow& family) {
    if (!exports(family)) return;
    const bool starts = family.type != FamilyType::kGauge || family.presence == Presence::kAlways ||
                        family.family == Family::kRunState;
    if (!starts) return;
    std::vector<std::vector<std::string>> combinations{{}};
    for (std::size_t i = 0; i < family.label_count(); ++i) {
      const std::string_view known = family.labels.at(i).values;
      const std::vector<std::string> values = known == "$net" ? options.nets : split(known);
      std::vector<std::vector<std::string>> longer;
      for (const auto& before : combinations) {
        for (const std::string& value : values) {
          longer.push_back(before);
          longer.back().push_back(value);
        }
      }
      combinations = std::move(longer);
    }
    for (const auto& values : combinations) {
      find_or_add(family, std::vector<std::string_view>(values.begin(), values.end()));
    }
  }

  [[nodiscard]] Series* find(const FamilyRow& family, ValueSpan values) {
    auto& known = series[static_cast<std::size_t>(family.family)];
    const auto at = std::find_if(known.begin(), known.end(), [&](const Series& one) {
      return std::equal(values.begin(), values.end(), one.values.begin(), one.values.end());
    });
    return at == known.end() ? nullptr : &*at;
  }

  Series& find_or_add(const FamilyRow& family, ValueSpan values) {
    ATELIER_CHECK(values.size() == family.label_count(),
                  text(family.name, " has ", family.label_count(), " labels"));
    if (Series* known = find(family, values)) return *known;
    Series& added =
        series[static_cast<std::size_t>(family.family)].emplace_back(make_series(family, values));
    if (added.counter != nullptr) counters.push_back(&added);
    return added;
  }

  Series make_series(const FamilyRow& family, ValueSpan values) {
    Series out;
    out.row = &family;
    out.values.assign(values.begin(), values.end());
    std::vector<Label> all;
    for (std::size_t i = 0; i < values.size(); ++i) {
      all.push_back({std::string(family.labels.at(i).name), valid_utf8(values[i])});
    }
    if (family.scope == Scope::kPerRank) all.push_back({"rank", text(options.rank)});
    prometheus::Labels labels;
    for (const Label& label : all) labels.emplace(label.name, label.value);
    const std::string name(family.name);
    const std::string help = escape_help(family.help);
    prometheus::Registry& registry = source->registry;
    switch (family.type) {
      case FamilyType::kGauge:
        out.gauge = &prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(labels);
        break;
      case FamilyType::kCounter:
        out.counter =
            &prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add(labels);
        break;
      case FamilyType::kHistogram:
        out.histogram = &prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add(
            labels, kSecondsBuckets);
        out.count_name = std::make_shared<const SeriesName>(name + "_count", all);
        break;
    }
    out.name = std::make_shared<const SeriesName>(name + (out.histogram ? "_sum" : ""), all);
    return out;
  }

  /// Counts and tells whether a counter or histogram must refuse the value.
  bool rejects(double value) {
    std::string_view reason;
    if (std::isnan(value)) {
      reason = "nan";
    } else if (std::isinf(value)) {
      reason = "infinite";
    } else if (value < 0) {
      reason = "negative";
    } else {
      return false;
    }
    const std::array<std::string_view, 1> values{reason};
    find_or_add(row(Family::kMetricsRejected), values).counter->Increment();
    return true;
  }

  void collect(const Series& one, std::vector<Sample>& out) const {
    if (one.gauge != nullptr) out.push_back({one.name, one.gauge->Value()});
    if (one.counter != nullptr) out.push_back({one.name, one.counter->Value()});
    if (one.histogram != nullptr) {
      const auto observed = one.histogram->Collect().histogram;
      out.push_back({one.name, observed.sample_sum});
      out.push_back({one.count_name, static_cast<double>(observed.sample_count)});
    }
  }

  MetricsOptions options;
  const Clock& clock;
  std::shared_ptr<Source> source;
  mutable std::mutex mutex;  ///< guards what follows
  std::vector<std::deque<Series>> series = std::vector<std::deque<Series>>(families().size());
  std::vector<Series*> counters;  ///< in the order in which they came to be
};

Metrics::Metrics(const MetricsOptions& options, const Clock& clock)
    : impl_(std::make_unique<Impl>(options, clock)) {
  const MetricsOptions& o = options;
  set(Family::kBuildInfo, 1,
      {o.build.version, o.build.commit, o.build.torch, o.build.nccl, o.build.mpi, o.build.cuda});
  set(Family::kRankInfo, 1, {o.host, text(o.local_rank), o.gpu, o.gpu_uuid});
  set(Family::kWorldSize, o.world_size);
  // A timestamp of 0 would look like decades of silence to an alert.
  for (const Family stamp :
       {Family::kLastStepTimestamp, Family::kHeartbeatTimestamp, Family::kQualityEvalTimestamp,
        Family::kCheckpointLastSuccess, Family::kReplicaCheckTimestamp}) {
    set(stamp, clock.unix_seconds());
  }
  set_state(RunState::kInit);
}

Metrics::~Metrics() = default;

void Metrics::set(Family gauge, double value, Values values) {
  const FamilyRow& family = row(gauge);
  ATELIER_CHECK(family.type == FamilyType::kGauge, family.name);
  if (!impl_->exports(family)) return;
  const std::lock_guard lock(impl_->mutex);
  Series& series = impl_->find_or_add(family, values);
  if (!std::isfinite(value)) impl_->rejects(std::abs(value));  // counted, but shown
  series.gauge->Set(value);
  series.fresh = true;
}

void Metrics::add(Family counter, double amount, Values values) {
  const FamilyRow& family = row(counter);
  ATELIER_CHECK(family.type == FamilyType::kCounter, family.name);
  if (!impl_->exports(family)) return;
  const std::lock_guard lock(impl_->mutex);
  Series& series = impl_->find_or_add(family, values);
  if (!impl_->rejects(amount)) series.counter->Increment(amount);
}

void Metrics::set_total(Family counter, double total, Values values) {
  const FamilyRow& family = row(counter);
  ATELIER_CHECK(family.type == FamilyType::kCounter, family.name);
  if (!impl_->exports(family)) return;
  const std::lock_guard lock(impl_->mutex);
  Series& series = impl_->find_or_add(family, values);
  if (impl_->rejects(total) || impl_->rejects(total - series.source_total)) return;
  series.counter->Increment(total - series.source_total);
  series.source_total = total;
}

void Metrics::observe(Family histogram, double value, Values values) {
  const FamilyRow& family = row(histogram);
  ATELIER_CHECK(family.type == FamilyType::kHistogram, family.name);
  if (!impl_->exports(family)) return;
  const std::lock_guard lock(impl_->mutex);
  Series& series = impl_->find_or_add(family, values);
  if (!impl_->rejects(value)) series.histogram->Observe(value);
}

double Metrics::value(Family family, Values values) const {
  const std::lock_guard lock(impl_->mutex);
  const Series* series = impl_->find(row(family), values);
  if (series == nullptr) return 0;
  std::vector<Sample> samples;
  impl_->collect(*series, samples);
  return samples.back().value;
}

void Metrics::set_run_info(const RunInfo& info) {
  set(Family::kRunInfo, 1,
      {info.model, info.dataset, text(impl_->options.world_size), info.precision,
       info.config_hash});
}

void Metrics::set_state(RunState state) {
  const std::vector<std::string> names = split(row(Family::kRunState).labels[0].values);
  for (std::size_t i = 0; i < names.size(); ++i) {
    set(Family::kRunState, i == static_cast<std::size_t>(state) ? 1 : 0, {names[i]});
  }
}

void Metrics::set_progress(std::int64_t step, std::int64_t target_steps, double epoch) {
  set(Family::kStep, static_cast<double>(step));
  set(Family::kTargetSteps, static_cast<double>(target_steps));
  set(Family::kEpoch, epoch);
}

void Metrics::finish_step(const StepRecord& record) {
  set(Family::kStep, static_cast<double>(record.step));
  set(Family::kEpoch, record.epoch);
  add(Family::kOptimizerSteps, 1);
  add(Family::kSamples, static_cast<double>(record.samples));
  observe(Family::kStepDuration, seconds(total(record.phases)));
  observe(Family::kDataWait, seconds(record.phases[static_cast<std::size_t>(Phase::kDataWait)]));
  for (std::size_t i = 0; i < kPhases; ++i) {
    add(Family::kStepPhaseSeconds, seconds(record.phases[i]), {phase_name(Phase(i))});
  }
  set(Family::kLastStepTimestamp, impl_->clock.unix_seconds());
}

void Metrics::heartbeat() { set(Family::kHeartbeatTimestamp, impl_->clock.unix_seconds()); }

void Metrics::set_indicator(Indicator indicator, double value, std::string_view net) {
  const IndicatorRow& one = indicator_row(indicator);
  const std::size_t labels = row(one.family).label_count();
  if (labels == 0) {
    set(one.family, value);
  } else {
    set(one.family, value, {one.value.empty() ? net : one.value});
  }
}

void Metrics::set_held_out(Indicator indicator, double value) {
  set(Family::kHeldOutValue, value, {indicator_name(indicator)});
}

void Metrics::finish_quality_eval(std::chrono::nanoseconds duration) {
  set(Family::kQualityEvalDuration, seconds(duration));
  set(Family::kQualityEvalTimestamp, impl_->clock.unix_seconds());
}

void Metrics::set_log_counts(const Log& log) {
  constexpr std::array kLevels{LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning,
                               LogLevel::kError};
  constexpr std::array<std::string_view, 4> kNames{"debug", "info", "warning", "error"};
  for (std::size_t i = 0; i < kLevels.size(); ++i) {
    set_total(Family::kLogMessages, static_cast<double>(log.count(kLevels[i])), {kNames[i]});
  }
}

void Metrics::continue_counters(const std::map<std::string, double>& counters) {
  const std::lock_guard lock(impl_->mutex);
  for (const Series* series : impl_->counters) {
    const auto at = counters.find(series->name->flat);
    if (at != counters.end() && !impl_->rejects(at->second)) series->counter->Increment(at->second);
  }
}

void Metrics::visit_counters(const std::function<void(std::string_view, double)>& visit) const {
  const std::lock_guard lock(impl_->mutex);
  for (const Series* series : impl_->counters) visit(series->name->flat, series->counter->Value());
}

Snapshot Metrics::take_snapshot(std::int64_t step) {
  Snapshot out{step, impl_->clock.unix_seconds(), {}};
  const std::lock_guard lock(impl_->mutex);
  for (auto& family : impl_->series) {
    for (Series& series : family) {
      const Presence presence = series.row->presence;
      const bool wanted =
          presence == Presence::kMeasured ? series.fresh : presence != Presence::kScrapeOnly;
      if (wanted) impl_->collect(series, out.samples);
      series.fresh = false;
    }
  }
  return out;
}

std::weak_ptr<prometheus::Collectable> Metrics::collectable() const { return impl_->source; }

std::string_view indicator_name(Indicator indicator) { return indicator_row(indicator).name; }

}  // namespace atelier::monitoring
