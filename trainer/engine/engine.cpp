#include "trainer/engine/engine.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "trainer/engine/autocast.h"
#include "trainer/parallel/tensor_buffer.h"

namespace atelier::engine {
namespace {

NetValue& value_of(StepReport& report, const std::string& net) {
  const auto found = std::find_if(report.nets.begin(), report.nets.end(),
                                  [&](const NetValue& value) { return value.net == net; });
  return found != report.nets.end() ? *found : report.nets.emplace_back(NetValue{.net = net});
}

void record_terms(const objectives::Phase& phase, const objectives::Losses& losses,
                  StepReport& report) {
  for (const std::string& term : phase.terms) {
    LossValue value{.net = phase.net, .term = term};
    for (const objectives::LossTerm& computed : losses.terms) {
      if (computed.name != term) continue;
      value.value = computed.value.item<double>();
      value.present = true;
      if (!std::isfinite(value.value)) ++value_of(report, phase.net).nonfinite_losses;
    }
    report.losses.push_back(std::move(value));
  }
}

}  // namespace

Engine::Engine(objectives::Objective& objective, comm::Comm& comm, const OptimizerConfig& optimizer,
               Precision precision)
    : objective_(&objective),
      comm_(&comm),
      batch_(comm),
      gradients_(comm, optimizer.bucket_bytes),
      optimizer_(optimizer),
      precision_(precision) {
  ATELIER_CHECK(precision != Precision::kAuto, "auto is resolved by choose_precision");
  for (const objectives::NamedNet& named : objective.nets()) {
    nets_.push_back(std::make_unique<TrainedNet>(named, type()));
  }
}

at::ScalarType Engine::type() const {
  return precision_ == Precision::kFloat64 ? torch::kDouble : torch::kFloat;
}

void Engine::set_precision(Precision precision) {
  ATELIER_CHECK(precision_ != Precision::kFloat64 && precision != Precision::kFloat64 &&
                    precision != Precision::kAuto,
                "only float32 and bfloat16 share their weights");
  precision_ = precision;
}

TrainedNet& Engine::net(const std::string& name) {
  for (const auto& net : nets_) {
    if (net->name() == name) return *net;
  }
  fail_check("net", text("no net is called ", name));
}

StepReport Engine::step(const StepInput& input, const StageListener& listener) {
  StepReport report;
  for (const objectives::Phase& phase : objective_->phases()) {
    run_phase(phase, input, listener, report);
  }
  listener(Stage::kMetrics);
  reduce_scalars(input, report);
  return report;
}

void Engine::run_phase(const objectives::Phase& phase, const StepInput& input,
                       const StageListener& listener, StepReport& report) {
  TrainedNet& trained = net(phase.net);
  ATELIER_CHECK(static_cast<std::size_t>(phase.image_stream) < input.images_NCHW.size(),
                "a batch for each image stream");
  // A phase differentiates with respect to its own net only: the others' weight gradients would be
  // computed and thrown away.
  for (const auto& other : nets_) other->flat().require_gradients(other.get() == &trained);
  trained.flat().clear_gradients();

  listener(Stage::kForward);
  objectives::Losses losses;
  {
    const AutocastScope autocast(precision_ == Precision::kBFloat16);
    losses = objective_->losses(
        phase, {.images_NCHW = input.images_NCHW[static_cast<std::size_t>(phase.image_stream)],
                .position = input.position,
                .batch = batch_});
  }
  listener(Stage::kBackward);
  losses.total.backward();
  // A loss can overflow where its gradient does not; as a NaN in the gradient every rank sees it.
  trained.flat().gradients().narrow(0, 0, 1).add_(losses.total.detach() * 0);
  listener(Stage::kAllReduce);
  report.reduced_bytes += gradients_.sum(trained.flat().gradients(), phase.net);

  listener(Stage::kOptimizer);
  NetValue& value = value_of(report, phase.net);
  const at::Tensor& gradients = trained.flat().gradients();
  value.gradient_norm = gradients.norm().item<double>();
  value.parameter_norm = trained.flat().weights().norm().item<double>();
  if (std::isfinite(value.gradient_norm)) {
    const auto batch = static_cast<double>(input.position.global_batch);
    const double images = input.images_before + batch;
    trained.update(
        optimizer_,
        optimizer_.learning_rate * learning_rate_factor(optimizer_, images, input.images_total),
        average_decay(optimizer_, images, batch));
  } else {
    // The sum over ranks is the same everywhere, so every rank comes to this verdict alone.
    // A norm can overflow where no value does; that counts as one.
    value.nonfinite_gradients = std::max<std::int64_t>(
        1, torch::isfinite(gradients).logical_not().sum().item<std::int64_t>());
    report.updated = false;
  }
  listener(Stage::kMetrics);
  record_terms(phase, losses, report);
}

void Engine::reduce_scalars(const StepInput& input, StepReport& report) {
  std::vector<double> fused;
  for (const LossValue& loss : report.losses) fused.push_back(loss.value);
  for (const NetValue& net : report.nets) {
    fused.push_back(static_cast<double>(net.nonfinite_losses));
  }
  fused.insert(fused.end(), input.flags.begin(), input.flags.end());
  comm_->all_reduce({fused.data(), fused.size(), comm::DType::kFloat64}, comm::ReduceOp::kSum,
                    {.label = "scalars of the step"});
  auto next = fused.begin();
  for (LossValue& loss : report.losses) loss.value = *next++;
  for (NetValue& net : report.nets) net.nonfinite_losses = std::llround(*next++);
  report.flags.assign(next, fused.end());
}

PrecisionTrial choose_precision(Engine& engine, comm::Comm& comm, const StepInput& input) {
  constexpr int kWarmUp = 2;
  constexpr int kMeasured = 8;  // covers the lazy penalties of the presets evenly
  std::vector<TrainedNet::Snapshot> before;
  for (const auto& net : engine.nets()) before.push_back(net->snapshot());
  const auto ignore = [](Stage) {};
  StepInput trial_input = input;
  const auto one_step = [&](Precision precision) {
    engine.set_precision(precision);
    const auto start = std::chrono::steady_clock::now();
    static_cast<void>(engine.step(trial_input, ignore));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  // Alternating, so that a machine that changes its speed treats both alike.
  std::array<double, 2> seconds{};
  for (int i = 0; i < kWarmUp + kMeasured; ++i) {
    trial_input.position.step = i;
    const std::array<double, 2> now{one_step(Precision::kFloat32), one_step(Precision::kBFloat16)};
    if (i < kWarmUp) continue;
    for (std::size_t k = 0; k < 2; ++k) seconds.at(k) += now.at(k) / kMeasured;
  }
  for (std::size_t i = 0; i < before.size(); ++i) engine.nets()[i]->restore(before[i]);
  comm.broadcast({seconds.data(), seconds.size(), comm::DType::kFloat64}, 0,
                 {.label = "precision trial"});
  PrecisionTrial trial{
      .float32_seconds = seconds[0],
      .bfloat16_seconds = seconds[1],
      .chosen = seconds[1] < seconds[0] ? Precision::kBFloat16 : Precision::kFloat32};
  engine.set_precision(trial.chosen);
  return trial;
}

}  // namespace atelier::engine
