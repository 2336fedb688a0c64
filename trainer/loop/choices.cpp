#include "trainer/loop/choices.h"

#include "launch/base/text.h"

namespace atelier::loop {
namespace {

std::string milliseconds(double seconds) { return text(fixed(seconds * 1e3, 1), " ms"); }

std::string tell(const engine::PrecisionTrial& trial) {
  return text("Precision ", engine::name_of(trial.chosen), ": a step takes ",
              milliseconds(trial.float32_seconds), " in fp32 and ",
              milliseconds(trial.bfloat16_seconds), " in bf16.");
}

std::string tell(const engine::BucketTrial& trial) {
  const std::string when = trial.chosen.overlap
                               ? text("during the backward, in pieces of ",
                                      human_bytes(static_cast<std::uint64_t>(trial.chosen.bytes)))
                               : "after the backward";
  const std::string why =
      trial.during_seconds > 0
          ? text("a step takes ", milliseconds(trial.after_seconds), " with sums after and ",
                 milliseconds(trial.during_seconds), " with sums during it")
          : text("they take ", milliseconds(trial.sum_seconds), " of ",
                 milliseconds(trial.after_seconds));
  return text("Gradients are summed ", when, ": ", why, " (",
              human_bytes(static_cast<std::uint64_t>(trial.speed.bytes_per_second)), "/s, ",
              fixed(trial.speed.latency_seconds * 1e6, 1), " us each).");
}

std::string tell(const engine::RecordingTrial& trial) {
  return text("Steps are repeated from recordings, which agree: one takes ",
              milliseconds(trial.repeated_seconds), ", asked for operation by operation ",
              milliseconds(trial.asked_seconds), ".");
}

}  // namespace

OpenChoices open_choices(const RunConfig& config, const comm::Comm& comm) {
  const bool measured = !config.train.deterministic;
  return {.precision = measured && config.train.precision == engine::Precision::kAuto,
          .buckets = measured && engine::buckets_are_open(config.optimizer),
          .recordings = config.device.graphs == device::Graphs::kOn && !comm.host_can_touch()};
}

void take_choices(const RunState& state, const RunConfig& config, engine::Engine& engine,
                  comm::Comm& comm, OpenChoices& open) {
  open.precision = false;
  if (config.train.precision == engine::Precision::kAuto && state.precision == "bf16") {
    engine.set_precision(engine::Precision::kBFloat16);
  }
  if (state.world != comm.world() || !state.buckets_measured) return;
  open.buckets = false;
  engine::BucketPlan plan = engine.bucket_plan();
  if (config.optimizer.bucket_bytes == 0) plan.bytes = state.buckets.bytes;
  if (config.optimizer.overlap == engine::Overlap::kAuto) plan.overlap = state.buckets.overlap;
  engine.set_bucket_plan(plan);
}

void tell_not_recorded(const std::string& why, const comm::Comm& comm, Log& log) {
  if (comm.rank() != 0) return;
  log.warn(
      text("Steps are asked for operation by operation, although device.graphs = \"on\". ", why));
}

void make_choices(const OpenChoices& open, const RunConfig& config, engine::Engine& engine,
                  comm::Comm& comm, const engine::StepInput& input, Log& log) {
  if (open.precision) {
    const engine::PrecisionTrial trial = engine::choose_precision(engine, comm, input);
    if (comm.rank() == 0) log.info(tell(trial));
  }
  if (open.buckets) {
    const engine::BucketTrial trial = engine::choose_buckets(engine, comm, config.optimizer, input);
    if (comm.rank() == 0 && trial.sum_seconds > 0) log.info(tell(trial));
  }
  if (open.recordings) {
    const engine::RecordingTrial trial = engine::try_recordings(engine, comm, input);
    if (trial.refusal.empty()) {
      if (comm.rank() == 0) log.info(tell(trial));
    } else {
      tell_not_recorded(trial.refusal, comm, log);
    }
  }
}

}  // namespace atelier::loop
