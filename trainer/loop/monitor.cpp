#include "trainer/loop/monitor.h"

#include <array>
#include <cstdio>

#include <unistd.h>

#include "data/image_codec.h"
#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/together.h"

namespace atelier::loop {
namespace {

constexpr std::chrono::seconds kRateWindow{10};

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

monitoring::MetricsOptions metrics_options(const MonitorOptions& options, const comm::Comm& comm) {
  monitoring::MetricsOptions metrics;
  metrics.rank = comm.rank();
  metrics.world_size = comm.world();
  metrics.local_rank = comm.local_rank();
  metrics.host = host_name();
  metrics.build = options.build;
  metrics.nets = options.nets;
  return metrics;
}

// As the metric's label.
std::string_view tensor_name(engine::Suspect suspect) {
  switch (suspect) {
    case engine::Suspect::kImages:
      return "input";
    case engine::Suspect::kWeights:
      return "param";
    case engine::Suspect::kLoss:
      return "loss";
    case engine::Suspect::kNone:  // only the sum over ranks was not finite
    case engine::Suspect::kGradient:
      return "grad";
  }
  return "grad";
}

}  // namespace

Monitor::Monitor(const MonitorOptions& options, comm::Comm& comm, FileSystem& files,
                 const Clock& clock, Log& log)
    : options_(options),
      comm_(&comm),
      clock_(&clock),
      log_(&log),
      metrics_(metrics_options(options, comm), clock),
      counters_(options.paths.counters(comm.rank()), log),
      exporter_(options.config,
                {.local_rank = comm.local_rank(), .hosts = comm.hosts(), .hostname = host_name()},
                metrics_, log),
      discovery_(files, log,
                 {.run_id = options.identity.run_id,
                  .run_dir = options.paths.folder,
                  .discovery_dir = options.config.discovery_dir}),
      timer_(clock),
      rate_(kRateWindow, clock.now()) {
  metrics_.set_run_info(options.run);
  using monitoring::Family;
  metrics_.continue_counters(monitoring::read_counters(files, options.paths.counters(comm.rank())));
  metrics_.add(Family::kRestarts, static_cast<double>(options.identity.attempt - 1) -
                                      metrics_.value(Family::kRestarts));
  counters_.write(metrics_);
  const std::vector<std::string> targets = gather_texts(comm, exporter_.target());
  if (comm.rank() != 0) return;
  std::vector<std::string> served;
  for (const std::string& target : targets) {
    if (!target.empty()) served.push_back(target);
  }
  if (!served.empty()) discovery_.publish(served);
  stats_.emplace(options.paths.stats(), options.identity.attempt, log);
  events_.emplace(options.paths.folder, options.first_step, clock, log);
  progress_.emplace(stderr, monitoring::progress_options(stderr), clock);
}

double Monitor::finish_step(const engine::StepReport& report, std::int64_t step, double epoch,
                            std::uint64_t local_images, std::uint64_t global_images) {
  take_numbers(report);
  using monitoring::Family;
  metrics_.set_total(Family::kCollectives, static_cast<double>(comm_->sequence()));
  metrics_.set(Family::kCollectiveLastSequence, static_cast<double>(comm_->sequence()));
  metrics_.add(Family::kAllreduceBytes, static_cast<double>(report.reduced_bytes));
  const monitoring::PhaseDurations phases = timer_.lap();
  metrics_.finish_step({.step = step, .epoch = epoch, .samples = local_images, .phases = phases});
  counters_.write(metrics_);
  rate_.add(clock_->now(), static_cast<double>(global_images));
  shown_.step = step;
  if (progress_ && progress_->is_due()) progress_->update(progress());
  return seconds(monitoring::total(phases));
}

void Monitor::take_numbers(const engine::StepReport& report) {
  for (const engine::LossValue& loss : report.losses) {
    if (loss.present) metrics_.set_loss(loss.net, loss.term, loss.value);
  }
  using monitoring::Family;
  for (const engine::NetValue& net : report.nets) {
    metrics_.set(Family::kGradientNorm, net.gradient_norm, {net.net});
    metrics_.set(Family::kParameterNorm, net.parameter_norm, {net.net});
  }
  for (const engine::NonFinite& found : report.non_finite) {
    if (found.rank != comm_->rank()) continue;
    metrics_.add(Family::kNonfiniteValues, static_cast<double>(found.values),
                 {found.net, tensor_name(found.suspect)});
  }
  if (!progress_ || report.losses.empty()) return;
  shown_.losses.clear();
  for (const engine::LossValue& loss : report.losses) {
    if (loss.present) shown_.losses.push_back({loss.net + '.' + loss.term, loss.value});
  }
}

void Monitor::finish_section() {
  const monitoring::PhaseDurations phases = timer_.lap();
  for (std::size_t i = 0; i < monitoring::kPhases; ++i) {
    metrics_.add(monitoring::Family::kStepPhaseSeconds, seconds(phases.at(i)),
                 {monitoring::phase_name(static_cast<monitoring::Phase>(i))});
  }
  counters_.write(metrics_);
}

const monitoring::Progress& Monitor::progress() {
  shown_.target_steps = options_.target_steps;
  shown_.images_per_second = images_per_second();
  const auto images_left =
      static_cast<double>((options_.target_steps - shown_.step) * options_.global_batch);
  shown_.seconds_left = images_left / shown_.images_per_second;
  return shown_;
}

void Monitor::finish_evaluation(const std::vector<IndicatorValue>& values,
                                std::chrono::nanoseconds duration) {
  for (const IndicatorValue& value : values) {
    metrics_.set_indicator(value.indicator, value.value, value.net);
    if (value.held_out) metrics_.set_held_out(value.indicator, *value.held_out);
  }
  metrics_.finish_quality_eval(duration);
  evaluated_ = true;
}

void Monitor::add_picture(std::int64_t step, const std::string& tag,
                          const at::Tensor& picture_HWC) {
  if (!events_) return;
  const data::ImageShape shape{.height = static_cast<int>(picture_HWC.size(0)),
                               .width = static_cast<int>(picture_HWC.size(1)),
                               .channels = static_cast<int>(picture_HWC.size(2))};
  const std::string png = data::encode_png(
      shape, {picture_HWC.data_ptr<std::uint8_t>(), static_cast<std::size_t>(picture_HWC.numel())});
  events_->image(step, {.tag = tag,
                        .height = shape.height,
                        .width = shape.width,
                        .channels = shape.channels,
                        .png = png});
}

void Monitor::record(std::int64_t step, bool in_any_case) {
  if (!stats_) return;
  if (!in_any_case && !evaluated_ && step % options_.config.steps != 0) return;
  evaluated_ = false;
  metrics_.set_log_counts(*log_);
  const monitoring::Snapshot snapshot = metrics_.take_snapshot(step);
  stats_->append(snapshot);
  events_->scalars(snapshot);
}

double Monitor::images_per_second() const { return rate_.per_second(clock_->now()); }

void Monitor::before_log() {
  if (progress_) progress_->clear();
}

void Monitor::fail(std::int64_t step) {
  before_log();
  metrics_.set_state(monitoring::RunState::kFailed);
  counters_.write(metrics_);
  record(step, true);
}

void Monitor::finish() {
  if (progress_) progress_->finish(progress());
  discovery_.remove();
}

}  // namespace atelier::loop
