#include "trainer/loop/training.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>

#include "checkpoints/resume.h"
#include "checkpoints/store.h"
#include "data/dataset.h"
#include "launch/base/config_compare.h"
#include "launch/base/config_listing.h"
#include "launch/base/config_print.h"
#include "launch/base/hash.h"
#include "launch/base/text.h"
#include "launch/comm/flight_recorder.h"
#include "launch/comm/self_test.h"
#include "launch/comm/together.h"
#include "launch/comm/watchdog.h"
#include "trainer/device/device.h"
#include "trainer/engine/engine.h"
#include "trainer/loop/announcement.h"
#include "trainer/loop/checks.h"
#include "trainer/loop/choices.h"
#include "trainer/loop/data_watch.h"
#include "trainer/loop/evaluation.h"
#include "trainer/loop/feed.h"
#include "trainer/loop/monitor.h"
#include "trainer/loop/outcome.h"
#include "trainer/loop/patience.h"
#include "trainer/loop/pictures.h"
#include "trainer/loop/replicas.h"
#include "trainer/loop/saver.h"
#include "trainer/loop/state.h"
#include "trainer/objectives/registry.h"

namespace atelier::loop {
namespace {

using engine::Precision;
using monitoring::Phase;

constexpr std::int64_t kPaceSteps = 50;  // between two looks at the mean step time

Phase phase_of(engine::Stage stage) {
  switch (stage) {
    case engine::Stage::kForward:
      return Phase::kForward;
    case engine::Stage::kBackward:
      return Phase::kBackward;
    case engine::Stage::kAllReduce:
      return Phase::kAllreduceWait;
    case engine::Stage::kOptimizer:
      return Phase::kOptimizer;
    case engine::Stage::kMetrics:
      return Phase::kMetrics;
  }
  return Phase::kOther;
}

int image_streams(const objectives::Objective& objective) {
  int streams = 0;
  for (const objectives::Phase& phase : objective.phases()) {
    streams = std::max(streams, phase.image_stream + 1);
  }
  return streams;
}

std::map<std::string, std::int64_t> parameter_counts(engine::Engine& engine) {
  std::map<std::string, std::int64_t> counts;
  for (const auto& net : engine.nets()) counts[net->name()] = net->flat().parameters();
  return counts;
}

// Everything a run consists of, and its one loop.
class Training {
 public:
  Training(const TrainRequest& request, const Services& services);
  ExitCode run();
  /// What to do about a device whose memory is full.
  [[nodiscard]] DeviceError out_of_memory(const c10::OutOfMemoryError& problem) const;
  /// Leaves word of how the run ended, where it had begun. Local.
  void fail(const Error& error) noexcept;

 private:
  void check_folder();
  void open_folder();
  ExitCode already_finished();
  void resume();
  void start_feed();
  void make_choices();
  void open_recorder();
  void start_monitor();
  void start_watchdog();
  void announce();

  [[nodiscard]] engine::StepInput fetch();
  void step();
  void tell_damage();
  void tell_damage(const std::string& what);
  void observe_loading(monitoring::Metrics& metrics);
  void observe(const engine::StepReport& report);
  void count_skip(const engine::StepReport& report);
  void settle();
  void finish_scheduled();
  void evaluate();
  void draw();
  void save();
  [[nodiscard]] RunState state();
  [[nodiscard]] Outcome outcome(Ending ending, ExitCode code, std::string error);
  void set_pace();
  ExitCode finish(ExitCode code);

  [[nodiscard]] bool due(std::int64_t step, std::int64_t interval) const {
    return step % interval == 0 || step == config_.train.steps;
  }
  [[nodiscard]] bool due(std::int64_t interval) const { return due(step_, interval); }
  [[nodiscard]] bool is_slow(std::int64_t step) const;
  [[nodiscard]] bool wants_numbers(std::int64_t step) const;
  [[nodiscard]] const ScheduleConfig& schedule() const { return config_.schedule; }

  const TrainRequest& request_;
  const RunConfig& config_;
  const Services& with_;
  RunPaths paths_;
  Patience patience_;
  bool is_new_ = true;     // nobody has started this run before
  bool finished_ = false;  // an attempt before came to its end
  data::Dataset dataset_;
  networks::Geometry geometry_;
  OpenChoices open_;
  bool buckets_measured_ = false;  // by this attempt or one before
  std::unique_ptr<objectives::Objective> objective_;
  RunIdentity identity_;
  std::optional<engine::Engine> engine_;
  std::optional<Saver> saver_;
  std::optional<Monitor> monitor_;
  std::unique_ptr<comm::Watchdog> watchdog_;  // after what it calls
  std::optional<Evaluation> evaluation_;
  std::unique_ptr<Feed> feed_;
  std::optional<DataWatch> data_watch_;
  double flag_ = 0;                 // this rank was asked to stop
  bool stopping_ = false;           // some rank was
  std::int64_t step_ = 0;           // steps done
  std::int64_t first_step_ = 0;     // of this attempt
  std::int64_t skipped_steps_ = 0;  // of the run
  double training_seconds_ = 0;     // in steps, over all attempts
  std::vector<IndicatorValue> indicators_;
};

Training::Training(const TrainRequest& request, const Services& services)
    : request_(request),
      config_(request.config),
      with_(services),
      paths_{request.run},
      patience_(services.comm, request.config.schedule),
      dataset_(data::Dataset::open(services.files, request.data)),
      geometry_(geometry_of(dataset_)),
      open_(open_choices(config_, services.comm)) {
  require_same_run(with_.comm, request, dataset_);
  require_trainable(config_, dataset_, with_.comm.world());
  device::configure(device::of(with_.comm), config_.device, config_.train.deterministic);
  objective_ = objectives::make_objective(config_.model, config_.objective, geometry_,
                                          static_cast<std::uint64_t>(config_.train.seed));
  require_same_model(with_.comm, *objective_);
}

ExitCode Training::run() {
  check_folder();
  const bool automatic = config_.train.precision == Precision::kAuto;
  engine_.emplace(*objective_, with_.comm, config_.optimizer,
                  automatic ? Precision::kFloat32 : config_.train.precision,
                  config_.train.batch_norm);
  saver_.emplace(with_.files, with_.log, paths_, config_.schedule, with_.comm);
  resume();
  evaluation_.emplace(
      *engine_, with_.comm, dataset_,
      EvaluationOptions{.seed = static_cast<std::uint64_t>(config_.train.seed),
                        .samples = config_.schedule.quality_samples,
                        .geometry = geometry_,
                        .real = {.loading = config_.loading,
                                 .tell = [this](const std::string& what) { tell_damage(what); }}});
  if (step_ >= config_.train.steps && finished_) return already_finished();
  open_folder();  // only now, when nothing can refuse this start any more
  open_recorder();
  start_feed();
  if (open_.any() && step_ < config_.train.steps) make_choices();
  start_monitor();
  start_watchdog();
  announce();
  if (step_ == 0) draw();

  monitor_->metrics().set_progress(step_, config_.train.steps, 0);
  monitor_->metrics().set_state(monitoring::RunState::kTraining);
  monitor_->finish_section();
  if (step_ >= config_.train.steps) evaluate();  // killed between its last save and its end
  while (step_ < config_.train.steps) {
    step();
    finish_scheduled();
    if (stopping_) return finish(ExitCode::kStopped);
  }
  return finish(ExitCode::kDone);
}

// Ranks that wait for one another have deadlines; this tells of one that hangs by itself. It only
// tells: a slow file server is no reason to end a run.
void Training::start_watchdog() {
  watchdog_ = std::make_unique<comm::Watchdog>(
      with_.comm.recorder(),
      comm::WatchdogOptions{.alive = [this] { monitor_->metrics().heartbeat(); },
                            .stuck =
                                [this](std::chrono::milliseconds silent) {
                                  with_.log.warn(text(
                                      "Rank ", with_.comm.rank(), " does nothing since ",
                                      human_seconds(seconds(silent)), ". `atelier health ",
                                      shell_word(paths_.folder.string()), "` tells where it is."));
                                }});
  patience_.watch_with(watchdog_.get());
}

// A run that cannot be explained later is better than none.
void Training::open_recorder() {
  try {
    with_.comm.recorder().open_file(paths_.recorder(with_.comm.rank()));
  } catch (const IoError& error) {
    with_.log.warn(error.what());
  }
}

void Training::start_monitor() {
  MonitorOptions options{.config = config_.monitoring,
                         .paths = paths_,
                         .identity = identity_,
                         .nets = {},
                         .run = {.model = std::string(objective_->family()),
                                 .dataset = dataset_.id(),
                                 .precision = engine::name_of(engine_->precision()),
                                 .config_hash = to_hex(config_hash(list_fields(config_)))},
                         .first_step = first_step_,
                         .target_steps = config_.train.steps,
                         .global_batch = config_.train.batch,
                         .build = request_.build};
  for (const objectives::NamedNet& named : objective_->nets()) options.nets.push_back(named.name);
  monitor_.emplace(options, with_.comm, with_.files, with_.clock, with_.log);
  monitor_->timer().on_enter(
      [this](Phase phase) { with_.comm.recorder().set_phase(monitoring::phase_name(phase)); });
  saver_->attach(monitor_->metrics());
}

void Training::check_folder() {
  static_cast<void>(on_rank_zero(with_.comm, [&]() -> std::string {
    check_run_folder(with_.files, paths_, request_.resume, request_.command);
    return "";
  }));
  // What is told from here on belongs into the log of a run that exists.
  is_new_ = !with_.files.exists(paths_.identity());
  finished_ = has_finished(with_.files, paths_.outcome());
  if (!is_new_) with_.log.open_file(paths_.log());
}

void Training::open_folder() {
  saver_->begin_from(step_, request_.resume);
  const std::string identity = on_rank_zero(
      with_.comm, [&] { return to_json(open_run_folder(with_.files, with_.clock, paths_)); });
  identity_ = parse_identity(identity, paths_.identity().string());
  require_shared_folder(with_.comm, with_.files, paths_, identity);
  if (is_new_) with_.log.open_file(paths_.log());
  static_cast<void>(on_rank_zero(with_.comm, [&]() -> std::string {
    write_atomically(with_.files, paths_.config(), config_toml(list_fields(config_)));
    // Of an attempt before; this one writes its own.
    with_.files.remove_all(paths_.outcome());
    with_.files.remove_all(paths_.recorders());
    return "";
  }));
}

// Nothing is left to do: what the run has written stays as it is.
ExitCode Training::already_finished() {
  if (with_.comm.rank() == 0) {
    with_.log.info(text("'", paths_.folder.string(), "' is finished: it is at step ", step_, " of ",
                        config_.train.steps, ". Train on with --set train.steps=N."));
  }
  return ExitCode::kDone;
}

void Training::resume() {
  std::optional<checkpoints::Loaded> loaded = saver_->resume(request_.resume);
  if (!loaded) return;
  const RunState state =
      parse_state(loaded->state_json, (loaded->directory / "state.json").string());
  require_compatible(state, request_, dataset_);
  take_choices(state, config_, *engine_, with_.comm, open_);
  buckets_measured_ = state.buckets_measured && !open_.buckets;
  restore_engine(*engine_, *loaded);
  step_ = first_step_ = state.step;
  training_seconds_ = state.training_seconds;
  skipped_steps_ = state.skipped_steps;
  if (with_.comm.rank() == 0) {
    with_.log.info(
        text("Resumed from step ", step_, " ('", loaded->directory.string(), "')",
             state.world == with_.comm.world()
                 ? ""
                 : text("; it was saved by ", state.world, " ranks, now ", with_.comm.world(),
                        " share the same batch of ", config_.train.batch),
             "."));
  }
}

void Training::start_feed() {
  feed_.reset();
  feed_ = std::make_unique<Feed>(
      config_, dataset_,
      FeedOptions{.shard = {.rank = with_.comm.rank(), .world = with_.comm.world()},
                  .streams = image_streams(*objective_),
                  .first_step = step_,
                  .device = engine_->device()});
  data_watch_.emplace(
      static_cast<std::size_t>(image_streams(*objective_) * config_.loading.readers));
}

void Training::make_choices() {
  // A first batch is all they need; training then starts with the very same one.
  loop::make_choices(open_, config_, *engine_, with_.comm, fetch(), with_.log);
  buckets_measured_ |= open_.buckets;
  start_feed();
}

void Training::announce() {
  const comm::SelfTest test = comm::self_test(with_.comm);
  if (with_.comm.rank() != 0) return;
  if (with_.comm.world() > 1) with_.log.info(sums_line(with_.comm, test));
  const RankThreads threads = threads_of(config_, dataset_, image_streams(*objective_), with_.comm);
  with_.log.info(text(training_line(*engine_, std::string(objective_->family()), dataset_,
                                    with_.comm.world(), threads),
                      ", into '", paths_.folder.string(), "'."));
  if (const std::string crowded = crowding(threads); !crowded.empty()) with_.log.warn(crowded);
}

engine::StepInput Training::fetch() {
  const auto batch = static_cast<double>(config_.train.batch);
  monitoring::PhaseTimer* timer = monitor_ ? &monitor_->timer() : nullptr;
  return {.micro_batches = feed_->next(engine_->type(), timer),
          .images_before = batch * static_cast<double>(step_),
          .images_total = batch * static_cast<double>(config_.train.steps),
          .flags = {&flag_, 1},
          .read = wants_numbers(step_ + 1)};
}

// On a device a step brings numbers of one before; those of a step after which the loop stops to do
// something are waited for.
bool Training::wants_numbers(std::int64_t step) const {
  const std::int64_t seen = step + engine_->lag();
  return seen % config_.device.report_steps == 0 || is_slow(step);
}

bool Training::is_slow(std::int64_t step) const {
  return due(step, schedule().quality_steps) || due(step, schedule().picture_steps) ||
         due(step, schedule().checkpoint_steps);
}

void Training::step() {
  flag_ = with_.stop.requested() ? 1 : 0;
  engine::StepInput input;
  try {
    input = fetch();
  } catch (const Error& error) {
    tell_damage();
    const bool damaged = error.exit_code() == ExitCode::kBadData;
    monitor_->metrics().add(monitoring::Family::kDataErrors, 1,
                            {damaged ? "damaged" : "unreadable"});
    throw;
  }
  tell_damage();
  const engine::StepReport report =
      engine_->step(input, [&](engine::Stage stage) { monitor_->timer().enter(phase_of(stage)); });
  ++step_;
  observe(report);
  stopping_ = report.flags.at(0) > 0 && step_ < config_.train.steps;
  if (flag_ > 0) {
    monitor_->metrics().add(monitoring::Family::kSignals, 1, {with_.stop.signal_name()});
  }
  if (stopping_ && with_.comm.rank() == 0) {
    monitor_->before_log();
    with_.log.info(text("Asked to stop", flag_ > 0 ? text(" by ", with_.stop.signal_name()) : "",
                        ": saving step ", step_, "."));
  }
}

// Which data.on_damage gets over.
void Training::tell_damage() {
  for (const std::string& what : feed_->take_damage()) {
    monitor_->metrics().add(monitoring::Family::kDataErrors, 1, {"damaged"});
    monitor_->before_log();
    tell_damage(what);
  }
}

void Training::tell_damage(const std::string& what) {
  with_.log.warn(text(what, " Going on, as data.on_damage says."));
}

void Training::observe(const engine::StepReport& report) {
  const auto images = static_cast<double>(config_.train.batch) * static_cast<double>(step_);
  const double epoch = images / static_cast<double>(dataset_.size(data::Split::kTrain));
  monitoring::Metrics& metrics = monitor_->metrics();
  using monitoring::Family;
  for (const auto& net : engine_->nets()) {
    metrics.set(
        Family::kLearningRate,
        net->learning_rate() * engine::learning_rate_factor(
                                   config_.optimizer, images,
                                   static_cast<double>(config_.train.batch * config_.train.steps)),
        {net->name()});
  }
  observe_loading(metrics);
  training_seconds_ += monitor_->finish_step(report, step_, epoch, feed_->local_images(),
                                             static_cast<std::uint64_t>(config_.train.batch));
  if (step_ - first_step_ == 1 || step_ % kPaceSteps == 0) set_pace();
  if (!report.updated()) count_skip(report);
  if (!report.not_recorded.empty()) {
    monitor_->before_log();
    tell_not_recorded(report.not_recorded, with_.comm, with_.log);
  }
}

void Training::observe_loading(monitoring::Metrics& metrics) {
  using monitoring::Family;
  const data::LoaderStats loading = feed_->stats();
  metrics.set(Family::kDataQueueBatches, static_cast<double>(loading.ready));
  metrics.set(Family::kDataQueueCapacity, static_cast<double>(loading.capacity));
  metrics.set_total(Family::kDataReadBytes, static_cast<double>(loading.bytes_read));
  metrics.set_total(Family::kDataStageSeconds, loading.planner_cpu_seconds, {"plan"});
  metrics.set_total(Family::kDataStageSeconds,
                    std::max(0.0, loading.reader_cpu_seconds - loading.unpack_cpu_seconds),
                    {"read"});
  metrics.set_total(Family::kDataStageSeconds, loading.unpack_cpu_seconds, {"unpack"});
  metrics.set_total(Family::kDataSubstitutes, static_cast<double>(loading.skipped), {"skipped"});
  metrics.set_total(Family::kDataSubstitutes, static_cast<double>(loading.substituted),
                    {"substituted"});
  if (const auto slow =
          data_watch_->after_step(seconds(with_.clock.now().time_since_epoch()), loading)) {
    monitor_->before_log();
    with_.log.warn(*slow);
  }
}

// What a device has not told yet.
void Training::settle() {
  const auto report = engine_->settle();
  if (!report) return;
  monitor_->take_numbers(*report);
  if (!report->updated()) count_skip(*report);
}

void Training::count_skip(const engine::StepReport& report) {
  skipped_steps_ += report.skipped;
  std::string found =
      text(report.skipped == 1 ? "Step " : text(report.skipped, " of the steps to "),
           report.step + 1, report.skipped == 1 ? " was" : " were", " skipped (", skipped_steps_,
           " of at most ", config_.train.skip_budget, ")");
  for (const engine::NonFinite& one : report.non_finite) found += "; " + engine::describe(one);
  if (skipped_steps_ > config_.train.skip_budget) {
    throw DivergedError(found + ".",
                        "Lower optimizer.learning_rate, set optimizer.clip_norm or raise "
                        "objective.gamma, and go on from the last checkpoint with --resume must.");
  }
  if (with_.comm.rank() != 0) return;
  monitor_->before_log();
  with_.log.warn(found + ".");
}

void Training::set_pace() {
  const double mean = training_seconds_ / static_cast<double>(step_);
  patience_.enter_steps(mean);
  const auto interval = [&](monitoring::Family family, std::int64_t steps) {
    monitor_->metrics().set(family, mean * static_cast<double>(steps));
  };
  interval(monitoring::Family::kCheckpointInterval, schedule().checkpoint_steps);
  interval(monitoring::Family::kQualityEvalInterval, schedule().quality_steps);
}

void Training::finish_scheduled() {
  const bool evaluates = !stopping_ && due(schedule().quality_steps);
  const bool draws = !stopping_ && due(schedule().picture_steps);
  const bool saves = stopping_ || due(schedule().checkpoint_steps);
  const bool is_slow = evaluates || draws || saves;
  if (is_slow) {
    patience_.enter_section();
    settle();
  }
  const auto start = with_.clock.now();
  if (evaluates) evaluate();
  if (draws) draw();
  // Before the save: a run killed right after it goes on from there and must not lack this record.
  monitor_->record(step_, stopping_ || step_ == config_.train.steps);
  if (saves || due(schedule().replica_steps)) {  // no save without: checkpoints hold what all share
    check_replicas(*engine_, with_.comm, with_.log, schedule().replica_policy, step_,
                   monitor_->metrics());
  }
  if (saves) save();
  if (!is_slow) return;
  with_.comm.barrier({.label = "end of a slow section"});
  patience_.learn(with_.clock.now() - start);
  set_pace();
  monitor_->metrics().set_state(monitoring::RunState::kTraining);
  monitor_->finish_section();
}

void Training::evaluate() {
  const monitoring::PhaseScope phase(monitor_->timer(), Phase::kMetrics);
  monitor_->metrics().set_state(monitoring::RunState::kEvaluating);
  const auto start = with_.clock.now();
  indicators_ = evaluation_->measure();
  monitor_->finish_evaluation(indicators_, with_.clock.now() - start);
}

void Training::draw() {
  if (with_.comm.rank() != 0) return;
  const monitoring::PhaseScope phase(monitor_->timer(), Phase::kMetrics);
  try {
    draw_pictures(with_.files, paths_, step_, *evaluation_, *monitor_);
  } catch (const IoError& error) {  // a picture is no reason to stop
    monitor_->before_log();
    with_.log.warn(error.what());
  }
}

RunState Training::state() {
  return {.step = step_,
          .images = step_ * config_.train.batch,
          .precision = engine::name_of(engine_->precision()),
          .buckets = engine_->bucket_plan(),
          .buckets_measured = buckets_measured_,
          .config = flatten(list_fields(config_)),
          .config_toml = config_toml(list_fields(config_)),
          .dataset_id = dataset_.id(),
          .channels = geometry_.channels,
          .height = geometry_.height,
          .width = geometry_.width,
          .world = with_.comm.world(),
          .training_seconds = training_seconds_,
          .skipped_steps = skipped_steps_,
          .program_version = request_.build.version};
}

void Training::save() {
  const monitoring::PhaseScope phase(monitor_->timer(), Phase::kCheckpointStall);
  monitor_->metrics().set_state(monitoring::RunState::kCheckpointing);
  monitor_->before_log();
  monitor_->sync();
  const bool last = stopping_ || step_ == config_.train.steps;
  const auto start = with_.clock.now();
  saver_->save(StagedState(*engine_, state()), last);
  monitor_->metrics().add(monitoring::Family::kCheckpointStallSeconds,
                          seconds(with_.clock.now() - start));
}

Outcome Training::outcome(Ending ending, ExitCode code, std::string error) {
  return {.family = std::string(objective_->family()),
          .ending = ending,
          .exit_code = static_cast<int>(code),
          .error = std::move(error),
          .step = step_,
          .target_steps = config_.train.steps,
          .images = step_ * config_.train.batch,
          .training_seconds = training_seconds_,
          .world = with_.comm.world(),
          .threads = config_.train.threads,
          .precision = engine::name_of(engine_->precision()),
          .dataset_id = dataset_.id(),
          .parameters = parameter_counts(*engine_),
          .indicators = named_values(indicators_)};
}

ExitCode Training::finish(ExitCode code) {
  const bool done = code == ExitCode::kDone;
  patience_.enter_section();
  monitor_->metrics().set_state(done ? monitoring::RunState::kFinished
                                     : monitoring::RunState::kStopping);
  monitor_->finish();
  if (with_.comm.rank() == 0) {
    const Outcome ended = outcome(done ? Ending::kFinished : Ending::kStopped, code, "");
    write_outcome(with_.files, paths_.outcome(), ended);
    with_.log.info(summary(ended, paths_.folder.string()));
    if (!done) {
      with_.log.info(text("Go on with: ", request_.command, " --run ",
                          shell_word(paths_.folder.string()), " --resume must"));
    }
  }
  with_.comm.barrier({.label = "end of the run"});
  return code;
}

DeviceError Training::out_of_memory(const c10::OutOfMemoryError& problem) const {
  const std::int64_t at_once = config_.train.batch / config_.train.accumulation;
  return DeviceError(text("The device of rank ", with_.comm.rank(), " is out of memory at step ",
                          step_ + 1, ": ", problem.what_without_backtrace()),
                     text(at_once, " images pass through the nets at once on ", with_.comm.world(),
                          " rank(s): raise train.accumulation (", config_.train.accumulation,
                          "), lower train.batch (", config_.train.batch,
                          "), set train.precision = bf16, or take more ranks."));
}

void Training::fail(const Error& error) noexcept {
  if (!monitor_) return;
  try {
    // Now, before mpirun wakes a stopped rank to end it.
    const std::string ranks =
        error.exit_code() == ExitCode::kPeerLost
            ? text("\n", explain_ranks(with_.files, paths_, with_.clock.unix_seconds()))
            : "";
    monitor_->fail(step_);
    // The first rank to fail names the cause; what the others meet follows from it.
    if (with_.files.exists(paths_.outcome())) return;
    if (!ranks.empty()) with_.log.warn(text("What the ranks are doing:", ranks));
    write_outcome(with_.files, paths_.outcome(),
                  outcome(Ending::kFailed, error.exit_code(),
                          text("rank ", with_.comm.rank(), ": ", error.what(), ranks)));
  } catch (const std::exception& problem) {  // the error itself is the one to tell
    with_.log.warn(text("Could not record how the run ended: ", problem.what()));
  }
}

}  // namespace

ExitCode train(const TrainRequest& request, const Services& services) {
  Training training(request, services);
  try {
    return training.run();
  } catch (const c10::OutOfMemoryError& problem) {
    const DeviceError error = training.out_of_memory(problem);
    training.fail(error);
    throw error;
  } catch (const Error& error) {
    training.fail(error);
    throw;
  }
}

}  // namespace atelier::loop
