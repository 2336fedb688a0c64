#include "trainer/loop/config.h"

namespace atelier::loop {

void describe(ConfigFields& fields, ScheduleConfig& config) {
  constexpr IntRange kSteps{1, std::int64_t{1} << 40};
  fields.boolean("data.flip", config.flip, {"flip half of the training images left-right"});
  fields.integer("checkpoint.steps", config.checkpoint_steps, kSteps,
                 {"steps between two checkpoints; the last step is always saved", true});
  fields.integer("checkpoint.keep", config.checkpoint_keep, {2, 1000},
                 {"newest checkpoints to keep", true});
  fields.integer("quality.steps", config.quality_steps, kSteps,
                 {"steps between two evaluations of the stability indicators", true});
  fields.integer("quality.samples", config.quality_samples, {2, 100000},
                 {"generated and held-out images that an evaluation compares", true});
  fields.integer("picture.steps", config.picture_steps, kSteps,
                 {"steps between two pictures in the run folder", true});
  fields.integer(
      "train.replica_steps", config.replica_steps, kSteps,
      {"steps between two comparisons of the ranks' weights; each save has its own", true});
  fields.choice("train.replica_policy", config.replica_policy,
                {{"heal", ReplicaPolicy::kHeal}, {"stop", ReplicaPolicy::kStop}},
                {"heal: a rank that differs gets the state of the majority, where there is one; "
                 "stop: the run ends",
                 true});
  fields.integer("comm.patience_seconds", config.patience_seconds, {1, 86400},
                 {"least time a rank waits for its peers in a step before it gives up", true});
  fields.integer("comm.slow_patience_seconds", config.slow_patience_seconds, {1, 86400},
                 {"likewise at the start, in an evaluation, a picture or a checkpoint", true});
}

void describe(ConfigFields& fields, RunConfig& config) {
  describe(fields, config.train);
  describe(fields, config.model);
  describe(fields, config.objective);
  describe(fields, config.optimizer);
  describe(fields, config.loading);
  describe(fields, config.schedule);
  describe(fields, config.monitoring);
  describe(fields, config.device);
}

}  // namespace atelier::loop
