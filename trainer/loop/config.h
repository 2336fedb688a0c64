// The configuration of a whole run, and when the loop does what. No torch here.
// Thread safety: values.
#pragma once

#include <cstdint>

#include "data/config.h"
#include "launch/base/config_fields.h"
#include "monitoring/config.h"
#include "trainer/device/config.h"
#include "trainer/engine/config.h"
#include "trainer/objectives/config.h"

namespace atelier::loop {

/// What to do about a rank whose state differs from that of most others.
enum class ReplicaPolicy : std::uint8_t { kHeal, kStop };

/// Units: steps, unless said. Evaluation and pictures also come at the end of a run, checkpoints
/// also when it is asked to stop.
struct ScheduleConfig {
  bool flip = false;  ///< flip half of the training images left-right
  std::int64_t checkpoint_steps = 1000;
  std::int64_t checkpoint_keep = 3;
  std::int64_t quality_steps = 2000;
  std::int64_t quality_samples = 1000;  ///< generated and held-out images an evaluation compares
  std::int64_t picture_steps = 1000;
  std::int64_t replica_steps = 500;  ///< between two comparisons of the ranks' state
  ReplicaPolicy replica_policy = ReplicaPolicy::kHeal;
  std::int64_t patience_seconds = 10;  ///< least time a rank waits for its peers in a step
  std::int64_t slow_patience_seconds =
      300;  ///< likewise in an evaluation or a save, or at the start
};

struct RunConfig {
  objectives::ModelConfig model;
  objectives::ObjectiveConfig objective;
  engine::TrainConfig train;
  engine::OptimizerConfig optimizer;
  data::LoadingConfig loading;
  ScheduleConfig schedule;
  monitoring::MonitoringConfig monitoring;
  device::DeviceConfig device;
};

void describe(ConfigFields& fields, ScheduleConfig& config);
void describe(ConfigFields& fields, RunConfig& config);

}  // namespace atelier::loop
