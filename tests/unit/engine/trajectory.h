// Short training runs of tiny nets on made-up images, recorded so that two runs can be compared:
// ranks as threads against one rank, MPI ranks against one rank, a rerun against the first run.
// Thread safety: each rank has its own Trainee.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "launch/comm/comm.h"
#include "trainer/engine/engine.h"
#include "trainer/objectives/registry.h"

namespace atelier::tests {

struct Recipe {
  objectives::Family family = objectives::Family::kAutoencoder;
  engine::Precision precision = engine::Precision::kFloat64;
  std::int64_t batch = 13;  ///< on 2, 3 and 4 ranks no rank's share is that of all others
  double learning_rate = 1e-3;
  std::int64_t total_steps = 200;
  std::int64_t accumulation = 1;  ///< micro-batches of `batch` images per step
  networks::Style style = {};
  objectives::GanLoss gan_loss = objectives::GanLoss::kRelativistic;
  engine::BatchStatistics statistics = engine::BatchStatistics::kSync;
  engine::Overlap overlap = engine::Overlap::kAuto;
  double clip_norm = 0;
  engine::OptimizerKind optimizer = engine::OptimizerKind::kAdam;
};

[[nodiscard]] std::string name_of(objectives::Family family);

/// One rank of a job: objective, engine, and the slots of the global batch that are its own.
class Trainee {
 public:
  /// Lifetime: `comm` outlives it.
  Trainee(const Recipe& recipe, comm::Comm& comm);

  /// The step's images and positions for this rank; what `input` points to lives in the rest.
  struct Batch {
    std::vector<std::vector<at::Tensor>> images_NCHW;  ///< by micro-batch and stream
    std::vector<engine::MicroBatch> micro_batches;
    engine::StepInput input;
  };
  [[nodiscard]] std::unique_ptr<Batch> batch(std::int64_t step) const;
  /// With the numbers of this very step, also on a device. Collective: all ranks.
  engine::StepReport step(std::int64_t step);
  engine::StepReport step(std::int64_t step, const engine::StageListener& listener);

  [[nodiscard]] engine::Engine& core() { return engine_; }
  /// Bytes of weights, averages, moments and step counts of all nets.
  [[nodiscard]] std::string bytes();

 private:
  Recipe recipe_;
  comm::Comm* comm_;
  std::unique_ptr<objectives::Objective> objective_;
  engine::Engine engine_;
};

/// Loss terms of `steps` steps, in the order of the report. Collective: all ranks.
[[nodiscard]] std::vector<engine::LossValue> record(Trainee& trainee, std::int64_t steps);

/// Empty when every term agrees to `tolerance`, relative above 1 and absolute below; else the
/// first that does not, with both values.
[[nodiscard]] std::string first_difference(const std::vector<engine::LossValue>& found,
                                           const std::vector<engine::LossValue>& expected,
                                           double tolerance);

}  // namespace atelier::tests
