#include "trainer/engine/trials.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <span>
#include <vector>

#include "trainer/engine/rehearsal.h"

namespace atelier::engine {
namespace {

SumSpeed measure_speed(Engine& engine, comm::Comm& comm) {
  constexpr int kTries = 5;
  constexpr std::int64_t kFewBytes = 1024;
  constexpr double kAnySpeed = 1e12;  // of nets so small that only the latency counts
  const auto larger = [](const auto& a, const auto& b) {
    return a->gradients().bytes_moved() < b->gradients().bytes_moved();
  };
  GradientBuckets& gradients =
      (*std::max_element(engine.nets().begin(), engine.nets().end(), larger))->gradients();
  std::array<double, 2> least{};
  const std::array<std::int64_t, 2> bytes{kFewBytes, gradients.bytes_moved()};
  for (std::size_t k = 0; k < 2; ++k) {
    least.at(k) = std::numeric_limits<double>::infinity();
    for (int i = 0; i < kTries; ++i) {
      least.at(k) = std::min(least.at(k), gradients.time_sum(bytes.at(k)));
    }
  }
  take_from_rank_zero(comm, least);
  if (bytes[1] < 2 * kFewBytes) return {.latency_seconds = least[1], .bytes_per_second = kAnySpeed};
  const double more = std::max(least[1] - least[0], 1e-9);
  return {.latency_seconds = least[0],
          .bytes_per_second = static_cast<double>(bytes[1] - bytes[0]) / more};
}

// Of the last step, in the order in which buckets are filled.
std::vector<ReadyGradient> ready_gradients(TrainedNet& net) {
  const std::vector<double>& seconds = net.gradients().ready_seconds();
  const FlatParameters& flat = net.flat();
  const double width = static_cast<double>(net.gradients().bytes_moved()) /
                       static_cast<double>(flat.gradients().numel());
  std::vector<ReadyGradient> ready;
  std::int64_t end = flat.gradients().numel();
  for (std::size_t slot = flat.trained_slots(); slot-- > 0;) {
    const std::int64_t begin = flat.slots()[slot].offset;
    ready.push_back({seconds[slot], static_cast<double>(end - begin) * width});
    end = begin;
  }
  return ready;
}

std::int64_t best_size(Engine& engine, comm::Comm& comm, const SumSpeed& speed) {
  std::vector<std::vector<ReadyGradient>> of_nets;
  for (const auto& net : engine.nets()) of_nets.push_back(ready_gradients(*net));
  const std::vector<ReadyGradients> backwards(of_nets.begin(), of_nets.end());
  std::array<double, 1> bytes{static_cast<double>(best_bucket_bytes(backwards, speed))};
  take_from_rank_zero(comm, bytes);
  return static_cast<std::int64_t>(bytes[0]);
}

// Plans that sum during the backward and are worth a trial. When a device has a gradient ready the
// host does not know, so that there several sizes are tried.
std::vector<BucketPlan> plans_during(Engine& engine, comm::Comm& comm, const SumSpeed& speed,
                                     std::int64_t pinned_bytes) {
  if (pinned_bytes > 0) return {{.bytes = pinned_bytes, .overlap = true}};
  if (engine.device().is_cpu()) {
    return {{.bytes = best_size(engine, comm, speed), .overlap = true}};
  }
  std::vector<BucketPlan> plans;
  for (const std::int64_t mebibytes : {1, 4, 16}) {
    plans.push_back({.bytes = mebibytes << 20, .overlap = true});
  }
  return plans;
}

}  // namespace

PrecisionTrial choose_precision(Engine& engine, comm::Comm& comm, const StepInput& input) {
  constexpr std::array kCandidates{Precision::kFloat32, Precision::kBFloat16};
  std::vector<double> seconds;
  {
    Rehearsal rehearsal(engine, input);
    seconds =
        rehearsal.compare(comm, 2, [&](std::size_t k) { engine.set_precision(kCandidates.at(k)); });
    rehearsal.put_back();
  }
  take_from_rank_zero(comm, seconds);
  const PrecisionTrial trial{.float32_seconds = seconds[0],
                             .bfloat16_seconds = seconds[1],
                             .chosen = kCandidates.at(seconds[1] < seconds[0] ? 1 : 0)};
  engine.set_precision(trial.chosen);
  return trial;
}

bool buckets_are_open(const OptimizerConfig& config) {
  return config.overlap == Overlap::kAuto ||
         (config.overlap == Overlap::kOn && config.bucket_bytes == 0);
}

BucketTrial choose_buckets(Engine& engine, comm::Comm& comm, const OptimizerConfig& config,
                           const StepInput& input) {
  constexpr double kWorthTrying = 0.02;  // of a step, in sums
  constexpr double kWorthChoosing = 0.99;
  BucketTrial trial{.chosen = engine.bucket_plan()};
  if (!buckets_are_open(config) || comm.world() == 1) return trial;

  Rehearsal rehearsal(engine, input);
  std::array<double, 1> step{std::numeric_limits<double>::infinity()};
  for (int i = 0; i < Rehearsal::kWarmUp + 2; ++i)
    step[0] = std::min(step[0], rehearsal.step_seconds(i));
  take_from_rank_zero(comm, step);
  trial.after_seconds = step[0];
  trial.speed = measure_speed(engine, comm);
  for (const auto& net : engine.nets()) {
    trial.sum_seconds += trial.speed.seconds(static_cast<double>(net->gradients().bytes_moved()));
  }
  std::vector<BucketPlan> plans = plans_during(engine, comm, trial.speed, config.bucket_bytes);
  const bool must = config.overlap == Overlap::kOn;
  if (must && plans.size() == 1) {
    trial.chosen = plans[0];
  } else if (must || trial.sum_seconds > kWorthTrying * trial.after_seconds) {
    plans.insert(plans.begin(), trial.chosen);  // after the backward
    std::vector<double> seconds = rehearsal.compare(
        comm, plans.size(), [&](std::size_t k) { engine.set_bucket_plan(plans[k]); });
    take_from_rank_zero(comm, seconds);
    const auto best = std::min_element(seconds.begin() + 1, seconds.end());
    trial.after_seconds = seconds[0];
    trial.during_seconds = *best;
    if (must || *best < kWorthChoosing * seconds[0]) {
      trial.chosen = plans[static_cast<std::size_t>(best - seconds.begin())];
    }
  }
  rehearsal.put_back();
  engine.set_bucket_plan(trial.chosen);
  return trial;
}

}  // namespace atelier::engine
