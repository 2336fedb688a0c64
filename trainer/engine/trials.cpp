#include "trainer/engine/trials.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <limits>
#include <span>
#include <vector>

#include "launch/base/error.h"

namespace atelier::engine {
namespace {

constexpr int kWarmUp = 2;
constexpr int kMeasured = 8;  // covers the lazy penalties of the presets evenly
// Behind the best step; more than what the first steps of a setting spend on being the first.
constexpr double kHopelessTimes = 3;
constexpr double kHopelessSeconds = 0.5;

// What rank 0 has measured, on every rank.
void take_from_rank_zero(comm::Comm& comm, std::span<double> numbers) {
  comm.broadcast({numbers.data(), numbers.size(), comm::DType::kFloat64}, 0,
                 {.label = "measured choice"});
}

// Steps that leave no trace.
class Rehearsal {
 public:
  Rehearsal(Engine& engine, const StepInput& input)
      : engine_(engine),
        input_(input),
        batches_(input.micro_batches.begin(), input.micro_batches.end()) {
    input_.micro_batches = batches_;
    for (const auto& net : engine.nets()) before_.push_back(net->snapshot());
  }
  ~Rehearsal() {
    try {
      end();
    } catch (const std::exception&) {  // whoever threw first is on the way
    }
  }
  Rehearsal(const Rehearsal&) = delete;
  Rehearsal& operator=(const Rehearsal&) = delete;

  /// Puts everything back.
  void end() {
    for (std::size_t i = 0; i < before_.size(); ++i) engine_.nets()[i]->restore(before_[i]);
    before_.clear();
  }

  double step_seconds(std::int64_t number) {
    for (MicroBatch& batch : batches_) batch.position.step = number;
    const auto start = std::chrono::steady_clock::now();
    static_cast<void>(engine_.step(input_, [](Stage) {}));
    static_cast<void>(engine_.settle());
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  /// Mean time of a step under each of `settings` settings, two or more. They alternate, so that a
  /// machine that changes its speed treats all alike. One that is hopeless (bfloat16 on a processor
  /// that does not multiply it takes ten times as long) is left out from then on, with the time of
  /// its last step.
  template <typename Set>
  std::vector<double> compare(comm::Comm& comm, std::size_t settings, const Set& set) {
    std::vector<double> mean(settings), last(settings);
    std::vector<bool> hopeless(settings);
    std::size_t left = settings;
    for (int i = 0; i < kWarmUp + kMeasured && left > 1; ++i) {
      for (std::size_t k = 0; k < settings; ++k) {
        if (hopeless[k]) continue;
        set(k);
        last[k] = step_seconds(i);
        if (i >= kWarmUp) mean[k] += last[k] / kMeasured;
      }
      take_from_rank_zero(comm, last);
      const double best = *std::min_element(last.begin(), last.end());
      for (std::size_t k = 0; k < settings; ++k) {
        if (hopeless[k] || last[k] < best + std::max(kHopelessTimes * best, kHopelessSeconds))
          continue;
        hopeless[k] = true;
        --left;
      }
    }
    for (std::size_t k = 0; k < settings; ++k) {
      if (hopeless[k] || left == 1) mean[k] = last[k];
    }
    return mean;
  }

 private:
  Engine& engine_;
  StepInput input_;
  std::vector<MicroBatch> batches_;
  std::vector<TrainedNet::Snapshot> before_;
};

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
    rehearsal.end();
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
  for (int i = 0; i < kWarmUp + 2; ++i) step[0] = std::min(step[0], rehearsal.step_seconds(i));
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
  rehearsal.end();
  engine.set_bucket_plan(trial.chosen);
  return trial;
}

}  // namespace atelier::engine
