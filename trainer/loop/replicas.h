// Comparing the replicas of a running training (checkpoints/replicas.h): every so many steps and
// before each save, so that no checkpoint ever holds a state that the ranks do not share. Ranks
// that are in a minority get the others' state; where nobody knows who is right, the run ends.
// Thread safety: one thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "checkpoints/replicas.h"
#include "launch/base/log.h"
#include "monitoring/metrics.h"
#include "trainer/engine/engine.h"
#include "trainer/loop/config.h"

namespace atelier::loop {

/// All that training keeps: weights, averages, moments. What lies on a device is copied to the
/// host.
class ReplicaState {
 public:
  /// Lifetime: `engine` outlives it.
  explicit ReplicaState(engine::Engine& engine);
  [[nodiscard]] std::span<const checkpoints::ReplicaPart> parts() const { return parts_; }
  /// To be called when the parts were changed.
  void put_back();

 private:
  engine::Engine* engine_;
  std::vector<at::Tensor> values_;  ///< the engine's
  std::vector<at::Tensor> copies_;  ///< themselves on a host
  std::vector<checkpoints::ReplicaPart> parts_;
};

/// Collective: all ranks. Throws: DeviceError on all ranks when replicas differ and there is no
/// majority, or healing is not wanted; CommError.
void check_replicas(engine::Engine& engine, comm::Comm& comm, Log& log, ReplicaPolicy policy,
                    std::int64_t step, monitoring::Metrics& metrics);

}  // namespace atelier::loop
