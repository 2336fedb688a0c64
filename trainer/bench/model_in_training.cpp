#include "trainer/bench/model_in_training.h"

#include <algorithm>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "trainer/bench/step_inputs.h"
#include "trainer/device/device.h"
#include "trainer/engine/images.h"
#include "trainer/loop/choices.h"
#include "trainer/objectives/registry.h"

namespace atelier::bench {

using engine::Precision;

namespace {

// Before anything lies on its device.
comm::Comm& configured(comm::Comm& comm, const loop::RunConfig& config) {
  device::configure(device::of(comm), config.device, config.train.deterministic);
  return comm;
}

}  // namespace

ModelInTraining::ModelInTraining(const loop::RunConfig& config, const networks::Geometry& geometry,
                                 comm::Comm& comm)
    : config_(config),
      geometry_(geometry),
      comm_(configured(comm, config)),
      objective_(objectives::make_objective(config.model, config.objective, geometry, seed())),
      engine_(
          *objective_, comm, config.optimizer,
          config.train.precision == Precision::kAuto ? Precision::kFloat32 : config.train.precision,
          config.train.batch_norm),
      uploads_(engine_.device()) {
  for (const objectives::Phase& phase : objective_->phases()) {
    streams_ = std::max(streams_, phase.image_stream + 1);
  }
  const std::int64_t batch = config.train.batch;
  first_ = batch * comm.rank() / comm.world();
  count_ = batch * (comm.rank() + 1) / comm.world() - first_;
  for (std::int64_t step = 0; step < kInputSteps; ++step) {
    for (int stream = 0; stream < streams_; ++stream) {
      auto bytes = made_up_images(geometry, stream, step, first_, count_);
      const at::Tensor images = engine::as_tensor(bytes, geometry);
      bytes_NHWC_.push_back(device::staging(engine_.device(), images.sizes(), torch::kByte));
      bytes_NHWC_.back().copy_(images);
    }
  }
}

void ModelInTraining::make_choices() {
  const loop::OpenChoices open = loop::open_choices(config_, comm_);
  const auto images = images_of(0);
  const engine::MicroBatch batch{.position = position(0), .images_NCHW = images};
  if (open.precision) {
    static_cast<void>(engine::choose_precision(engine_, comm_, input(batch, false)));
  }
  if (open.buckets) {
    static_cast<void>(
        engine::choose_buckets(engine_, comm_, config_.optimizer, input(batch, false)));
  }
  if (open.recordings) recordings_ = engine::try_recordings(engine_, comm_, input(batch, true));
}

std::function<void(std::int64_t)> ModelInTraining::bare_step() {
  bare_objective_ = objectives::make_objective(config_.model, config_.objective, geometry_, seed());
  bare_ =
      std::make_unique<BareLoop>(*bare_objective_, alone_, config_.optimizer, engine_.precision());
  return [this](std::int64_t step) {
    const auto images = images_of(step);
    bare_->step({.position = position(step), .images_NCHW = images});
  };
}

engine::StepReport ModelInTraining::step(std::int64_t step, const engine::StageListener& listener) {
  const auto images = images_of(step);
  const engine::MicroBatch batch{.position = position(step), .images_NCHW = images};
  const bool read = step % config_.device.report_steps == 0;
  return checked(engine_.step(input(batch, read), listener));
}

engine::StepReport ModelInTraining::whole_step(std::int64_t step) {
  const auto images = images_of(step);
  const engine::MicroBatch batch{.position = position(step), .images_NCHW = images};
  const engine::StepReport report = checked(engine_.step(input(batch, true), [](engine::Stage) {}));
  const auto late = engine_.settle();
  return late ? checked(*late) : report;
}

engine::StepReport ModelInTraining::checked(engine::StepReport report) {
  if (!report.updated()) {
    throw DeviceError(text("Step ", report.step, " of the benchmark: a value is not finite."),
                      "Lower optimizer.learning_rate, or try train.precision = fp32.");
  }
  return report;
}

std::uint64_t ModelInTraining::seed() const {
  return static_cast<std::uint64_t>(config_.train.seed);
}

std::vector<at::Tensor> ModelInTraining::images_of(std::int64_t step) {
  std::vector<at::Tensor> images;
  const auto first = static_cast<std::size_t>(step % kInputSteps * streams_);
  for (std::size_t i = 0; i < static_cast<std::size_t>(streams_); ++i) {
    images.push_back(
        engine::to_images(uploads_.upload(bytes_NHWC_[first + i]), {}, engine_.type()));
  }
  return images;
}

objectives::Position ModelInTraining::position(std::int64_t step) const {
  return {.seed = seed(),
          .step = step,
          .first_slot = first_,
          .local_batch = count_,
          .global_batch = config_.train.batch};
}

engine::StepInput ModelInTraining::input(const engine::MicroBatch& batch, bool read) const {
  const auto size = static_cast<double>(config_.train.batch);
  return {.micro_batches = {&batch, 1},
          .images_before = static_cast<double>(batch.position.step) * size,
          .images_total = 1e9,
          .flags = {},
          .read = read};
}

}  // namespace atelier::bench
