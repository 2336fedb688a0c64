// Choices that are measured in the first steps of a run, on its own nets and images. Each trial
// leaves its choice set in the engine and all other state as it was. Thread safety: as Engine.
#pragma once

#include <string>

#include "launch/comm/comm.h"
#include "trainer/engine/bucket_model.h"
#include "trainer/engine/engine.h"

namespace atelier::engine {

/// A step in float32 and in bfloat16; the faster one is chosen.
struct PrecisionTrial {
  double float32_seconds = 0;
  double bfloat16_seconds = 0;
  Precision chosen = Precision::kFloat32;
};
/// Collective: all ranks; rank 0 decides. Throws: CommError.
[[nodiscard]] PrecisionTrial choose_precision(Engine& engine, comm::Comm& comm,
                                              const StepInput& input);

/// How gradients are summed: in which pieces, and whether while the backward goes on. That is tried
/// only where summing takes a share of the step that is worth it, with the size that the measured
/// ready times and speed make best (bucket_model.h).
struct BucketTrial {
  SumSpeed speed = {};
  double sum_seconds = 0;     ///< of a step, for all nets
  double after_seconds = 0;   ///< of a step that sums after its backwards
  double during_seconds = 0;  ///< of one that sums during them; 0: not tried
  BucketPlan chosen = {};
};
/// Whether `config` leaves anything to measure.
[[nodiscard]] bool buckets_are_open(const OptimizerConfig& config);
/// What `config` pins is not measured. Collective: all ranks; rank 0 decides. Throws: CommError.
[[nodiscard]] BucketTrial choose_buckets(Engine& engine, comm::Comm& comm,
                                         const OptimizerConfig& config, const StepInput& input);

/// Steps that the device repeats from recordings, beside the same steps from the same state that it
/// is asked for operation by operation. They must agree: losses, and the way that the weights went,
/// to 1e-3, or, where the device itself scatters, to three times what two runs of the latter differ
/// by, at most 5 %.
struct RecordingTrial {
  double asked_seconds = 0;  ///< of a step; medians
  double repeated_seconds = 0;
  std::string refusal = {};  ///< why steps are not recorded; empty if they are
};
/// Requires: an engine on a device. Collective: all ranks. Throws: CommError, DeviceError.
[[nodiscard]] RecordingTrial try_recordings(Engine& engine, comm::Comm& comm,
                                            const StepInput& input);

}  // namespace atelier::engine
