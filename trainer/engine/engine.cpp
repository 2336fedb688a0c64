#include "trainer/engine/engine.h"

#include <algorithm>
#include <cmath>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "trainer/device/device.h"
#include "trainer/engine/autocast.h"
#include "trainer/networks/batch_norm.h"
#include "trainer/parallel/tensor_buffer.h"

namespace atelier::engine {
namespace {

// After values that were not finite, so that the next ones can be explained while the images that
// made them are there.
constexpr std::int64_t kWatchfulSteps = 100;

NetValue& value_of(StepReport& report, const std::string& net) {
  const auto found = std::find_if(report.nets.begin(), report.nets.end(),
                                  [&](const NetValue& value) { return value.net == net; });
  return found != report.nets.end() ? *found : report.nets.emplace_back(NetValue{.net = net});
}

// What the schedules say of a step.
struct Pace {
  double rate_factor;
  double average_decay;
};

Pace pace_of(const OptimizerConfig& config, const StepInput& input) {
  const double batch = input.images();
  const double images = input.images_before + batch;
  return {.rate_factor = learning_rate_factor(config, images, input.images_total),
          .average_decay = average_decay(config, images, batch)};
}

}  // namespace

Engine::Engine(objectives::Objective& objective, comm::Comm& comm, const OptimizerConfig& optimizer,
               Precision precision, BatchStatistics statistics)
    : objective_(&objective),
      comm_(&comm),
      device_(device::of(comm)),
      batch_(comm),
      optimizer_(optimizer),
      precision_(precision),
      statistics_(statistics) {
  ATELIER_CHECK(precision != Precision::kAuto, "auto is resolved by choose_precision");
  for (const objectives::NamedNet& named : objective.nets()) {
    nets_.push_back(std::make_unique<TrainedNet>(named, type(), comm, optimizer));
    const bool over_all_ranks = statistics == BatchStatistics::kSync;
    batch_norms_ |=
        networks::share_batch_statistics(*named.net, over_all_ranks ? &batch_ : nullptr) > 0;
  }
  set_training(false);
  if (precision == Precision::kBFloat16) set_precision(precision);
  if (device_.is_cpu()) return;
  numbers_.emplace(comm, device_);
  uploads_.emplace(device_);
  schedule_ = torch::zeros({static_cast<std::int64_t>(nets_.size()), 2},
                           torch::TensorOptions(torch::kFloat).device(device_));
}

at::ScalarType Engine::type() const {
  return precision_ == Precision::kFloat64 ? torch::kDouble : torch::kFloat;
}

void Engine::set_precision(Precision precision) {
  ATELIER_CHECK(precision_ != Precision::kFloat64 && precision != Precision::kFloat64 &&
                    precision != Precision::kAuto,
                "only float32 and bfloat16 share their weights");
  precision_ = precision;
  if (recorded_) record_steps(true);
  for (const auto& net : nets_) {
    net->flat().compute_in(precision == Precision::kBFloat16 ? at::kBFloat16 : at::kFloat);
  }
}

void Engine::set_bucket_plan(BucketPlan plan) {
  if (recorded_) record_steps(true);
  for (const auto& net : nets_) net->gradients().set_plan(plan);
}

const BucketPlan& Engine::bucket_plan() const { return nets_.front()->gradients().plan(); }

TrainedNet& Engine::net(const std::string& name) {
  for (const auto& net : nets_) {
    if (net->name() == name) return *net;
  }
  fail_check("net", text("no net is called ", name));
}

void Engine::record_steps(bool wanted) {
  ATELIER_CHECK(!wanted || numbers_, "a host has nothing that repeats steps");
  recorded_.reset();
  if (!wanted) return;
  recorded_.emplace(*comm_, device_,
                    [this](const objectives::Position& at, Stream stream, std::int64_t dims,
                           at::ScalarType type) { return draw(at, stream, dims, type); });
}

StepReport Engine::step(const StepInput& input, const StageListener& listener) {
  ATELIER_CHECK(!input.micro_batches.empty(), "a step has images");
  if (!numbers_) {
    StepReport report = compute(input, listener).report;
    reduce_scalars(input, report);
    return report;
  }
  std::optional<StepReport> before = numbers_->catch_up();
  upload_schedule(input);
  StepOnDevice step = ask_device(input, listener);
  const std::int64_t bytes = step.report.reduced_bytes;
  numbers_->add_step(std::move(step));
  return finish_on_device(input, bytes, std::move(before));
}

StepOnDevice Engine::compute(const StepInput& input, const StageListener& listener) {
  StepOnDevice step;
  step.report.step = input.micro_batches.front().position.step;
  if (numbers_) numbers_->begin();
  set_training(true);
  for (const objectives::Phase& phase : objective_->phases()) {
    run_phase(phase, input, listener, step.report);
  }
  set_training(false);
  listener(Stage::kMetrics);
  settle_statistics();
  if (numbers_) step.numbers = numbers_->gather(input.read);
  return step;
}

StepOnDevice Engine::ask_device(const StepInput& input, const StageListener& listener) {
  StepInput wanted = input;
  wanted.read = input.read || watchful_steps_ > 0;
  const auto work = [&](const StepInput& given) { return compute(given, listener); };
  if (!recorded_) return work(wanted);
  listener(Stage::kForward);
  StepOnDevice step =
      recorded_->ask(wanted, objective_->variant(input.micro_batches.front().position.step), work);
  if (!wanted.read) step.numbers.reset();
  return step;
}

std::optional<StepReport> Engine::settle() {
  comm_->synchronize();
  if (!numbers_) return std::nullopt;
  auto report = numbers_->settle();
  if (report && !report->updated()) watchful_steps_ = kWatchfulSteps;
  return report;
}

StepReport Engine::finish_on_device(const StepInput& input, std::int64_t reduced_bytes,
                                    std::optional<StepReport> before) {
  if (watchful_steps_ > 0) {
    --watchful_steps_;
    const std::int64_t skipped = before ? before->skipped : 0;
    before = settle();
    before->skipped += skipped;
    explain_skips(input, *before);
  }
  StepReport now = before ? std::move(*before) : StepReport();
  if (!now.updated()) watchful_steps_ = kWatchfulSteps;
  now.reduced_bytes = reduced_bytes;
  if (recorded_ && !recorded_->refusal().empty()) {
    now.not_recorded = recorded_->refusal();
    recorded_.reset();
  }
  sum_flags(input, now);
  return now;
}

void Engine::explain_skips(const StepInput& input, StepReport& report) {
  if (report.updated()) return;
  for (const objectives::Phase& phase : objective_->phases()) {
    if (!std::isfinite(value_of(report, phase.net).gradient_norm)) {
      report.non_finite.push_back(explain(phase, input));
    }
  }
}

void Engine::upload_schedule(const StepInput& input) {
  const Pace pace = pace_of(optimizer_, input);
  const at::Tensor values = device::staging(device_, schedule_.sizes(), torch::kFloat);
  for (std::size_t i = 0; i < nets_.size(); ++i) {
    float* const row = values.mutable_data_ptr<float>() + 2 * i;
    row[0] = static_cast<float>(nets_[i]->learning_rate() * pace.rate_factor);
    row[1] = static_cast<float>(1 - pace.average_decay);
  }
  schedule_.copy_(values, /*non_blocking=*/true);
}

at::Tensor Engine::noise(const objectives::Position& at, Stream stream, std::int64_t dims,
                         at::ScalarType type) {
  return recorded_ ? recorded_->noise(at, stream, dims, type) : draw(at, stream, dims, type);
}

at::Tensor Engine::draw(const objectives::Position& at, Stream stream, std::int64_t dims,
                        at::ScalarType type) {
  const at::Tensor drawn = objectives::normal(at, stream, dims, type);
  if (device_.is_cpu()) return drawn;
  const at::Tensor staged = device::staging(device_, drawn.sizes(), type);
  staged.copy_(drawn);
  return uploads_->upload(staged);
}

void Engine::settle_statistics() {
  const bool differ = batch_norms_ && statistics_ == BatchStatistics::kLocal && comm_->world() > 1;
  for (const auto& net : nets_) {
    if (differ) {
      const at::Tensor frozen = net->flat().frozen();
      comm_->broadcast(parallel::buffer_of(frozen), 0,
                       parallel::call_options(frozen, "running statistics"));
    }
    net->copy_frozen_to_average();
  }
}

void Engine::set_training(bool training) {
  for (const objectives::NamedNet& named : objective_->nets()) named.net->train(training);
}

// A phase differentiates with respect to its own net only: the others' weight gradients would be
// computed and thrown away. But some keep the graph of another net's outputs for later.
void Engine::require_gradients(const objectives::Phase& phase) {
  for (const auto& net : nets_) {
    net->flat().require_gradients(net->name() == phase.net || net->name() == phase.graph_of);
  }
}

objectives::Losses Engine::differentiate(const objectives::Phase& phase, const MicroBatch& batch,
                                         double share, bool last, const StageListener& listener) {
  ATELIER_CHECK(static_cast<std::size_t>(phase.image_stream) < batch.images_NCHW.size(),
                "a batch for each image stream");
  listener(Stage::kForward);
  objectives::Losses losses;
  {
    const AutocastScope autocast(precision_ == Precision::kBFloat16, device_.type());
    losses = objective_->losses(
        phase, {.images_NCHW = batch.images_NCHW[static_cast<std::size_t>(phase.image_stream)],
                .position = batch.position,
                .batch = batch_,
                .noise = [this](const objectives::Position& at, Stream stream, std::int64_t dims,
                                at::ScalarType type) { return noise(at, stream, dims, type); }});
  }
  listener(Stage::kBackward);
  const at::Tensor total = share == 1.0 ? losses.total : losses.total * share;
  GradientBuckets& gradients = net(phase.net).gradients();
  gradients.add_verdict(total);
  if (last) gradients.expect_last();
  total.backward();
  gradients.end_backward();
  losses.total.reset();  // and with it the graph
  return losses;
}

void Engine::run_phase(const objectives::Phase& phase, const StepInput& input,
                       const StageListener& listener, StepReport& report) {
  TrainedNet& trained = net(phase.net);
  require_gradients(phase);
  keep_running_statistics();
  trained.gradients().begin();
  std::vector<objectives::Losses> losses;
  const double share = 1.0 / static_cast<double>(input.micro_batches.size());
  for (const MicroBatch& batch : input.micro_batches) {
    const bool last = &batch == &input.micro_batches.back();
    losses.push_back(differentiate(phase, batch, share, last, listener));
  }
  listener(Stage::kAllReduce);
  report.reduced_bytes += trained.gradients().finish();

  listener(Stage::kOptimizer);
  if (numbers_) {
    update_on_device(phase, report);
  } else {
    update_on_host(phase, input, report);
  }
  listener(Stage::kMetrics);
  record_terms(phase, losses, report);
}

void Engine::update_on_host(const objectives::Phase& phase, const StepInput& input,
                            StepReport& report) {
  TrainedNet& trained = net(phase.net);
  NetValue& value = value_of(report, phase.net);
  const at::Tensor& gradients = trained.flat().gradients();
  value.gradient_norm = norm_of(gradients);
  if (std::isfinite(value.gradient_norm)) {
    const Pace pace = pace_of(optimizer_, input);
    value.parameter_norm = trained.update(trained.learning_rate() * pace.rate_factor,
                                          value.gradient_norm, pace.average_decay);
  } else {
    // The sum over ranks is the same everywhere, so every rank comes to this verdict alone.
    report.skipped = 1;
    value.parameter_norm = norm_of(trained.flat().trained());
    report.non_finite.push_back(explain(phase, input));
    restore_running_statistics();
  }
}

// The same without a look at what is computed: where the norm is not finite, all stays as it was.
void Engine::update_on_device(const objectives::Phase& phase, StepReport& report) {
  const torch::NoGradGuard no_grad;
  TrainedNet& trained = net(phase.net);
  std::int64_t row = 0;
  while (nets_[static_cast<std::size_t>(row)].get() != &trained) ++row;
  const at::Tensor norm = norm_on_device(trained.flat().gradients());
  const at::Tensor weights_norm = trained.update({.learning_rate = schedule_[row][0],
                                                  .average_step = schedule_[row][1],
                                                  .gradient_norm = norm});
  const NetValue* const value = &value_of(report, phase.net);
  numbers_->add_update(static_cast<std::size_t>(value - report.nets.data()), norm, weights_norm);
  const at::Tensor finite = torch::isfinite(norm);
  for (std::size_t i = 0; i < nets_.size(); ++i) {
    if (!nets_[i]->flat().has_frozen()) continue;
    const at::Tensor frozen = nets_[i]->flat().frozen();
    frozen.copy_(torch::where(finite, frozen, frozen_before_[i]));
  }
}

// Running statistics see what is not finite before anybody else does.
void Engine::keep_running_statistics() {
  frozen_before_.resize(nets_.size());
  for (std::size_t i = 0; i < nets_.size(); ++i) {
    if (nets_[i]->flat().has_frozen()) frozen_before_[i] = nets_[i]->flat().frozen().clone();
  }
}

void Engine::restore_running_statistics() {
  for (std::size_t i = 0; i < nets_.size(); ++i) {
    if (nets_[i]->flat().has_frozen()) nets_[i]->flat().frozen().copy_(frozen_before_[i]);
  }
}

// `of_batches`: of each micro-batch.
void Engine::record_terms(const objectives::Phase& phase,
                          const std::vector<objectives::Losses>& of_batches, StepReport& report) {
  const auto batches = static_cast<double>(of_batches.size());
  for (const std::string& term : phase.terms) {
    LossValue value{.net = phase.net, .term = term};
    at::Tensor there;  // its sum, on a device
    for (const objectives::Losses& losses : of_batches) {
      for (const objectives::LossTerm& computed : losses.terms) {
        if (computed.name != term) continue;
        value.present = true;
        if (!numbers_) {
          value.value += computed.value.item<double>() / batches;
        } else {
          const at::Tensor share = computed.value.to(torch::kDouble) / batches;
          there = there.defined() ? there + share : share;
        }
      }
    }
    if (there.defined()) numbers_->add_loss(there);
    report.losses.push_back(std::move(value));
  }
}

Finding Engine::search(const objectives::Phase& phase, const StepInput& input) {
  TrainedNet& trained = net(phase.net);
  require_gradients(phase);
  trained.gradients().begin();
  std::vector<at::Tensor> images;
  std::vector<objectives::Losses> losses;
  for (const MicroBatch& batch : input.micro_batches) {
    images.push_back(batch.images_NCHW[static_cast<std::size_t>(phase.image_stream)]);
    // On every rank, whatever it may find: losses can hold collectives.
    losses.push_back(differentiate(phase, batch, 1.0, false, [](Stage) {}));
  }
  for (const Finding& found : {look_at_images(images), look_at_weights(nets_),
                               look_at_losses(phase, losses), look_at_gradients(trained.flat())}) {
    if (found.suspect != Suspect::kNone) return found;
  }
  return {};
}

NonFinite Engine::explain(const objectives::Phase& phase, const StepInput& input) {
  const Culprit culprit = find_culprit(*comm_, search(phase, input));
  return {.net = phase.net,
          .suspect = culprit.finding.suspect,
          .what = name_of(culprit.finding, phase, nets_),
          .rank = culprit.rank,
          .values = culprit.finding.values};
}

void Engine::sum_flags(const StepInput& input, StepReport& report) {
  report.flags.assign(input.flags.begin(), input.flags.end());
  if (report.flags.empty()) return;
  comm_->all_reduce({report.flags.data(), report.flags.size(), comm::DType::kFloat64},
                    comm::ReduceOp::kSum, {.label = "flags of the step"});
}

void Engine::reduce_scalars(const StepInput& input, StepReport& report) {
  std::vector<double> fused;
  for (const LossValue& loss : report.losses) fused.push_back(loss.value);
  fused.insert(fused.end(), input.flags.begin(), input.flags.end());
  comm_->all_reduce({fused.data(), fused.size(), comm::DType::kFloat64}, comm::ReduceOp::kSum,
                    {.label = "scalars of the step"});
  auto next = fused.begin();
  for (LossValue& loss : report.losses) loss.value = *next++;
  report.flags.assign(next, fused.end());
}

}  // namespace atelier::engine
