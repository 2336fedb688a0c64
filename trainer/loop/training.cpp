#include "trainer/loop/training.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>

#include <nlohmann/json.hpp>

#include "checkpoints/resume.h"
#include "checkpoints/store.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "launch/base/config_compare.h"
#include "launch/base/config_listing.h"
#include "launch/base/config_print.h"
#include "launch/base/hash.h"
#include "launch/base/text.h"
#include "launch/comm/handshake.h"
#include "trainer/engine/engine.h"
#include "trainer/engine/images.h"
#include "trainer/loop/evaluation.h"
#include "trainer/loop/monitor.h"
#include "trainer/loop/outcome.h"
#include "trainer/loop/saver.h"
#include "trainer/loop/state.h"
#include "trainer/loop/together.h"
#include "trainer/objectives/registry.h"
#include "trainer/quality/grid.h"

namespace atelier::loop {
namespace {

using engine::Precision;
using monitoring::Phase;

constexpr std::int64_t kDeadlineSteps = 50;  // between two looks at the mean step time
constexpr double kDeadlineFactor = 20;
constexpr double kSlowDeadlineFactor =
    5;  // of the longest section so far, which the mean would hide

networks::Geometry geometry_of(const data::Dataset& dataset) {
  const data::ImageShape& shape = dataset.shape();
  return {.channels = shape.channels, .height = shape.height, .width = shape.width};
}

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

// Ranks that were started for different runs must not train together.
void require_same_run(comm::Comm& comm, const TrainRequest& request, const data::Dataset& dataset) {
  std::vector<comm::NamedText> items;
  for (const ConfigField& field : list_fields(request.config)) {
    items.push_back({field.key, to_toml(field.value)});
  }
  items.push_back({"dataset id", dataset.id()});
  items.push_back({"run folder", request.run.string()});
  items.push_back({"program version", request.version});
  comm::require_equal(comm, items);
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

 private:
  void check_folder();
  void open_folder();
  ExitCode already_finished();
  void resume();
  void require_compatible(const RunState& state) const;
  void start_loaders();
  void choose_precision();
  void announce();

  [[nodiscard]] at::Tensor next_images(data::Loader& loader);
  [[nodiscard]] engine::StepInput fetch();
  void step();
  void observe(const engine::StepReport& report);
  void count_skip(const engine::StepReport& report);
  void finish_scheduled();
  void evaluate();
  void draw();
  void save();
  [[nodiscard]] RunState state();
  void set_deadline();
  ExitCode finish(ExitCode code);

  [[nodiscard]] bool due(std::int64_t interval) const {
    return step_ % interval == 0 || step_ == config_.train.steps;
  }
  [[nodiscard]] const ScheduleConfig& schedule() const { return config_.schedule; }
  /// Longest wait outside of steps; sections that took long before may do so again.
  [[nodiscard]] std::chrono::milliseconds slow_patience() const {
    return std::chrono::milliseconds(
        std::llround(1e3 * std::max(static_cast<double>(schedule().slow_patience_seconds),
                                    kSlowDeadlineFactor * longest_section_)));
  }
  /// Images over all ranks that pass through the nets at once.
  [[nodiscard]] std::uint64_t micro_batch() const {
    return static_cast<std::uint64_t>(config_.train.batch / config_.train.accumulation);
  }

  const TrainRequest& request_;
  const RunConfig& config_;
  const Services& with_;
  RunPaths paths_;
  bool is_new_ = true;        // nobody has started this run before
  bool has_outcome_ = false;  // an attempt before came to its end
  data::Dataset dataset_;
  networks::Geometry geometry_;
  std::unique_ptr<objectives::Objective> objective_;
  RunIdentity identity_;
  std::optional<engine::Engine> engine_;
  std::optional<Saver> saver_;
  std::optional<Monitor> monitor_;
  std::optional<Evaluation> evaluation_;
  std::vector<std::unique_ptr<data::Loader>> loaders_;
  data::SlotRange slots_;                        // of this rank in a micro-batch
  std::vector<std::vector<at::Tensor>> images_;  // of the step, by micro-batch and stream
  std::vector<engine::MicroBatch> micro_batches_;
  double flag_ = 0;                 // this rank was asked to stop
  bool stopping_ = false;           // some rank was
  std::int64_t step_ = 0;           // steps done
  std::int64_t first_step_ = 0;     // of this attempt
  double longest_section_ = 0;      // of this attempt, outside of steps. Units: seconds
  std::int64_t skipped_steps_ = 0;  // of the run
  double training_seconds_ = 0;     // in steps, over all attempts
  std::vector<IndicatorValue> indicators_;
  std::vector<std::string> counters_;  // of the attempt before, per rank
};

Training::Training(const TrainRequest& request, const Services& services)
    : request_(request),
      config_(request.config),
      with_(services),
      paths_{request.run},
      dataset_(data::Dataset::open(services.files, request.data)),
      geometry_(geometry_of(dataset_)) {
  with_.comm.set_default_timeout(slow_patience());
  require_same_run(with_.comm, request, dataset_);
  objective_ = objectives::make_objective(config_.model, config_.objective, geometry_,
                                          static_cast<std::uint64_t>(config_.train.seed));
  if (config_.train.batch % config_.train.accumulation != 0) {
    throw ConfigError(text("train.batch is ", config_.train.batch, ", which train.accumulation = ",
                           config_.train.accumulation, " does not divide."),
                      "Accumulate over parts of equal size.");
  }
  slots_ = data::slots_of(micro_batch(), {.rank = with_.comm.rank(), .world = with_.comm.world()});
  if (micro_batch() < static_cast<std::uint64_t>(with_.comm.world())) {
    throw ConfigError(text("train.batch is ", config_.train.batch, " in ",
                           config_.train.accumulation, " part(s), but ", with_.comm.world(),
                           " ranks need at least one image each of every part."),
                      "Use fewer ranks, a larger batch or less accumulation.");
  }
}

ExitCode Training::run() {
  check_folder();
  const bool automatic = config_.train.precision == Precision::kAuto;
  engine_.emplace(*objective_, with_.comm, config_.optimizer,
                  automatic ? Precision::kFloat32 : config_.train.precision);
  saver_.emplace(with_.files, with_.log, paths_, config_.schedule, with_.comm);
  resume();
  evaluation_.emplace(*engine_, with_.comm, dataset_,
                      EvaluationOptions{.seed = static_cast<std::uint64_t>(config_.train.seed),
                                        .samples = config_.schedule.quality_samples,
                                        .geometry = geometry_});
  if (step_ >= config_.train.steps && has_outcome_) return already_finished();
  open_folder();  // only now, when nothing can refuse this start any more
  start_loaders();
  if (automatic && first_step_ == 0 && !config_.train.deterministic) choose_precision();
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
                         .version = request_.version};
  for (const objectives::NamedNet& named : objective_->nets()) options.nets.push_back(named.name);
  monitor_.emplace(options, with_.comm, with_.files, with_.clock, with_.log);
  saver_->attach(monitor_->metrics());
  if (counters_.size() > static_cast<std::size_t>(with_.comm.rank())) {
    continue_counters(monitor_->metrics(), counters_[static_cast<std::size_t>(with_.comm.rank())]);
  }
  const double restarts = monitor_->metrics().value(monitoring::Family::kRestarts);
  monitor_->metrics().add(monitoring::Family::kRestarts,
                          static_cast<double>(identity_.attempt - 1) - restarts);
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

void Training::check_folder() {
  static_cast<void>(on_rank_zero(with_.comm, [&]() -> std::string {
    check_run_folder(with_.files, paths_, request_.resume, request_.command);
    return "";
  }));
  // What is told from here on belongs into the log of a run that exists.
  is_new_ = !with_.files.exists(paths_.identity());
  has_outcome_ = with_.files.exists(paths_.outcome());
  if (!is_new_) with_.log.open_file(paths_.log());
}

void Training::open_folder() {
  saver_->begin_from(step_, request_.resume);
  const std::string identity = on_rank_zero(
      with_.comm, [&] { return to_json(open_run_folder(with_.files, with_.clock, paths_)); });
  identity_ = parse_identity(identity, paths_.identity().string());
  if (is_new_) with_.log.open_file(paths_.log());
  static_cast<void>(on_rank_zero(with_.comm, [&]() -> std::string {
    write_atomically(with_.files, paths_.config(), config_toml(list_fields(config_)));
    with_.files.remove_all(paths_.outcome());  // of an attempt before; this one writes its own
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
  require_compatible(state);
  if (config_.train.precision == Precision::kAuto && state.precision == "bf16") {
    engine_->set_precision(Precision::kBFloat16);
  }
  restore_engine(*engine_, *loaded);
  step_ = first_step_ = state.step;
  training_seconds_ = state.training_seconds;
  skipped_steps_ = state.skipped_steps;
  counters_ = state.counters;
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

void Training::require_compatible(const RunState& state) const {
  std::string problems;
  for (const ConfigDifference& difference : differences(state.config, list_fields(config_))) {
    if (!difference.may_change_on_resume) problems += "\n  " + to_string(difference);
  }
  if (state.dataset_id != dataset_.id()) {
    problems += text("\n  dataset: ", state.dataset_id, " before, ", dataset_.id(), " now");
  }
  if (problems.empty()) return;
  throw ConfigError(text("The run in '", paths_.folder.string(),
                         "' cannot go on with another configuration:", problems),
                    "\nGive the same configuration, --set and --data, or start a new --run.");
}

void Training::start_loaders() {
  for (int stream = 0; stream < image_streams(*objective_); ++stream) {
    data::LoaderOptions options;
    options.batch = micro_batch();
    options.shard = {.rank = with_.comm.rank(), .world = with_.comm.world()};
    options.seed = static_cast<std::uint64_t>(config_.train.seed);
    options.stream = static_cast<std::uint64_t>(stream);
    options.first_step = static_cast<std::uint64_t>(step_ * config_.train.accumulation);
    loaders_.push_back(std::make_unique<data::Loader>(dataset_, data::Split::kTrain, options));
  }
}

void Training::choose_precision() {
  // The trial has loaders of its own to look at: a first batch is all it needs.
  const engine::StepInput input = fetch();
  const engine::PrecisionTrial trial = engine::choose_precision(*engine_, with_.comm, input);
  if (with_.comm.rank() == 0) {
    with_.log.info(text("Precision ", engine::name_of(trial.chosen), ": a step takes ",
                        fixed(trial.float32_seconds * 1e3, 1), " ms in fp32 and ",
                        fixed(trial.bfloat16_seconds * 1e3, 1), " ms in bf16."));
  }
  loaders_.clear();
  start_loaders();
}

void Training::announce() {
  if (with_.comm.rank() != 0) return;
  std::string nets;
  for (const auto& net : engine_->nets()) {
    nets += text(nets.empty() ? "" : ", ", net->name(), " ", human_count(net->flat().parameters()),
                 " parameters");
  }
  with_.log.info(text("Training ", objective_->family(), " (", nets, ") on ",
                      human_count(static_cast<std::int64_t>(dataset_.size(data::Split::kTrain))),
                      " images of ", dataset_.shape().name(), ", ", with_.comm.world(), " rank",
                      with_.comm.world() == 1 ? "" : "s", " x ", config_.train.threads, " thread",
                      config_.train.threads == 1 ? "" : "s", ", ",
                      engine::name_of(engine_->precision()), ", into '", paths_.folder.string(),
                      "'."));
}

at::Tensor Training::next_images(data::Loader& loader) {
  if (monitor_) monitor_->timer().enter(Phase::kDataWait);
  const data::Batch batch = loader.next();
  if (monitor_) monitor_->timer().enter(Phase::kH2d);
  if (!schedule().flip) return engine::to_images(batch.images_NHWC, geometry_, engine_->type());
  return engine::to_flipped_images(batch.images_NHWC, geometry_, engine_->type(),
                                   {.seed = static_cast<std::uint64_t>(config_.train.seed),
                                    .epochs = batch.epochs,
                                    .ids = batch.ids});
}

engine::StepInput Training::fetch() {
  images_.clear();
  micro_batches_.clear();
  for (std::int64_t part = 0; part < config_.train.accumulation; ++part) {
    auto& streams = images_.emplace_back();
    for (const auto& loader : loaders_) streams.push_back(next_images(*loader));
    const std::uint64_t first = static_cast<std::uint64_t>(part) * micro_batch() + slots_.first;
    micro_batches_.push_back(
        {.position = {.seed = static_cast<std::uint64_t>(config_.train.seed),
                      .step = step_,
                      .first_slot = static_cast<std::int64_t>(first),
                      .local_batch = static_cast<std::int64_t>(slots_.count),
                      .global_batch = static_cast<std::int64_t>(micro_batch())},
         .images_NCHW = {}});
  }
  for (std::size_t i = 0; i < images_.size(); ++i) micro_batches_[i].images_NCHW = images_[i];
  const auto batch = static_cast<double>(config_.train.batch);
  return {.micro_batches = micro_batches_,
          .images_before = batch * static_cast<double>(step_),
          .images_total = batch * static_cast<double>(config_.train.steps),
          .flags = {&flag_, 1}};
}

void Training::step() {
  flag_ = with_.stop.requested() ? 1 : 0;
  const engine::StepInput input = fetch();
  const engine::StepReport report =
      engine_->step(input, [&](engine::Stage stage) { monitor_->timer().enter(phase_of(stage)); });
  ++step_;
  observe(report);
  stopping_ = report.flags.at(0) > 0 && step_ < config_.train.steps;
  if (flag_ > 0) {
    monitor_->metrics().add(monitoring::Family::kSignals, 1, {with_.stop.signal_name()});
  }
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
  data::LoaderStats loading{};
  for (const auto& loader : loaders_) {
    const data::LoaderStats stats = loader->stats();
    loading.ready += stats.ready;
    loading.capacity += stats.capacity;
    loading.bytes_read += stats.bytes_read;
  }
  metrics.set(Family::kDataQueueBatches, static_cast<double>(loading.ready));
  metrics.set(Family::kDataQueueCapacity, static_cast<double>(loading.capacity));
  metrics.set_total(Family::kDataReadBytes, static_cast<double>(loading.bytes_read));
  training_seconds_ += monitor_->finish_step(
      report, step_, epoch, slots_.count * static_cast<std::uint64_t>(config_.train.accumulation),
      static_cast<std::uint64_t>(config_.train.batch));
  if (step_ - first_step_ == 1 || step_ % kDeadlineSteps == 0) set_deadline();
  if (!report.updated) count_skip(report);
}

void Training::count_skip(const engine::StepReport& report) {
  ++skipped_steps_;
  std::string found = text("Step ", step_, " was skipped (", skipped_steps_, " of at most ",
                           config_.train.skip_budget, ")");
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

void Training::set_deadline() {
  const double mean = training_seconds_ / static_cast<double>(step_);
  const double wait =
      std::max(static_cast<double>(schedule().patience_seconds), kDeadlineFactor * mean);
  with_.comm.set_default_timeout(std::chrono::milliseconds(std::llround(wait * 1e3)));
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
  if (is_slow) with_.comm.set_default_timeout(slow_patience());
  const auto start = with_.clock.now();
  if (evaluates) evaluate();
  if (draws) draw();
  // Before the save: a run killed right after it goes on from there and must not lack this record.
  monitor_->record(step_, stopping_ || step_ == config_.train.steps);
  if (saves) save();
  if (!is_slow) return;
  with_.comm.barrier({.label = "end of a slow section"});
  longest_section_ = std::max(longest_section_, seconds(with_.clock.now() - start));
  set_deadline();
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
  std::string number = text(step_);
  number.insert(0, number.size() < 6 ? 6 - number.size() : 0, '0');
  const auto publish = [&](const std::string& kind, const at::Tensor& picture) {
    quality::write_picture(with_.files, paths_.folder / text(kind, number, ".png"), picture);
    monitor_->add_picture(step_, kind, picture);
  };
  try {
    if (step_ == 0) {
      quality::write_picture(with_.files, paths_.folder / "reals.png",
                             evaluation_->reals_picture());
    }
    if (const auto samples = evaluation_->samples_picture()) publish("fakes", *samples);
    if (const auto pairs = evaluation_->reconstructions_picture()) {
      publish("reconstructions", *pairs);
    }
  } catch (const IoError& error) {  // a picture is no reason to stop
    monitor_->before_log();
    with_.log.warn(error.what());
  }
}

RunState Training::state() {
  return {.step = step_,
          .images = step_ * config_.train.batch,
          .precision = engine::name_of(engine_->precision()),
          .config = flatten(list_fields(config_)),
          .config_toml = config_toml(list_fields(config_)),
          .dataset_id = dataset_.id(),
          .channels = geometry_.channels,
          .height = geometry_.height,
          .width = geometry_.width,
          .world = with_.comm.world(),
          .training_seconds = training_seconds_,
          .skipped_steps = skipped_steps_,
          .counters = gather_texts(with_.comm, counters_json(monitor_->metrics()))};
}

void Training::save() {
  const monitoring::PhaseScope phase(monitor_->timer(), Phase::kCheckpointStall);
  monitor_->metrics().set_state(monitoring::RunState::kCheckpointing);
  monitor_->before_log();
  const bool last = stopping_ || step_ == config_.train.steps;
  const auto start = with_.clock.now();
  saver_->save(StagedState(*engine_, state()), last);
  monitor_->metrics().add(monitoring::Family::kCheckpointStallSeconds,
                          seconds(with_.clock.now() - start));
}

ExitCode Training::finish(ExitCode code) {
  const bool done = code == ExitCode::kDone;
  with_.comm.set_default_timeout(slow_patience());
  monitor_->metrics().set_state(done ? monitoring::RunState::kFinished
                                     : monitoring::RunState::kStopping);
  monitor_->finish();
  if (with_.comm.rank() == 0) {
    const Outcome outcome{.family = std::string(objective_->family()),
                          .finished = done,
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
    write_outcome(with_.files, paths_.outcome(), outcome);
    with_.log.info(summary(outcome, paths_.folder.string()));
    if (!done) {
      with_.log.info(text("Go on with: ", request_.command, " --run ",
                          shell_word(paths_.folder.string()), " --resume must"));
    }
  }
  with_.comm.barrier({.label = "end of the run"});
  return code;
}

}  // namespace

ExitCode train(const TrainRequest& request, const Services& services) {
  return Training(request, services).run();
}

}  // namespace atelier::loop
