// Steps at the start of a run that leave no trace: what is measured on the run's own nets and
// images. Thread safety: as Engine.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "launch/comm/comm.h"
#include "trainer/engine/engine.h"

namespace atelier::engine {

/// What rank 0 has measured, on every rank. Collective: all ranks. Throws: CommError.
void take_from_rank_zero(comm::Comm& comm, std::span<double> numbers);

class Rehearsal {
 public:
  static constexpr int kWarmUp = 2;    ///< steps before any is measured
  static constexpr int kMeasured = 8;  ///< covers the lazy penalties of the presets evenly

  /// Lifetime: `engine` outlives it, and what `input` points to.
  Rehearsal(Engine& engine, const StepInput& input);
  ~Rehearsal();
  Rehearsal(const Rehearsal&) = delete;
  Rehearsal& operator=(const Rehearsal&) = delete;

  /// Puts everything back; more steps may follow. Throws: DeviceError.
  void put_back();

  /// One step, with all its numbers; odd ones see the images mirrored, so that a device that goes
  /// on with those of the step before is found out. Collective: all ranks. Throws: CommError,
  /// DeviceError.
  StepReport step(std::int64_t number);
  /// Units: seconds.
  double step_seconds(std::int64_t number);

  /// Mean time of a step under each of `settings` settings, two or more. They alternate, so that a
  /// machine that changes its speed treats all alike. One that is hopeless (bfloat16 on a processor
  /// that does not multiply it takes ten times as long) is left out from then on, with the time of
  /// its last step. Units: seconds.
  std::vector<double> compare(comm::Comm& comm, std::size_t settings,
                              const std::function<void(std::size_t)>& set);

 private:
  Engine& engine_;
  StepInput input_;
  std::vector<MicroBatch> batches_;
  std::vector<std::vector<at::Tensor>> mirrored_;  ///< images by micro-batch and stream
  std::vector<TrainedNet::Snapshot> before_;
};

}  // namespace atelier::engine
