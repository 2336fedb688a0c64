// The table of metric families: what each is called, who exports it, what its labels can be. It is
// the one place that spells a metric name; README.md documents the same rows (tested).
// Thread safety: constants.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace atelier::monitoring {

/// Index into families().
enum class Family : std::uint8_t {
  kBuildInfo,
  kRunInfo,
  kRankInfo,
  kRunState,
  kStep,
  kWorldSize,
  kTargetSteps,
  kEpoch,
  kLearningRate,
  kOptimizerSteps,
  kSamples,
  kLastStepTimestamp,
  kHeartbeatTimestamp,
  kStepDuration,
  kStepPhaseSeconds,
  kCollectives,
  kCollectiveLastSequence,
  kAllreduceBytes,
  kDataQueueBatches,
  kDataQueueCapacity,
  kDataReadBytes,
  kDataErrors,
  kDataWait,
  kDataStageSeconds,
  kDataSubstitutes,
  kLoss,
  kGradientNorm,
  kParameterNorm,
  kNonfiniteValues,
  kDiscriminatorAccuracy,
  kSampleDiversity,
  kNearestNeighbour,
  kFeatureStd,
  kActiveUnits,
  kKlNats,
  kReconstructionError,
  kReconstructionPsnr,
  kHeldOutValue,
  kQualityEvalTimestamp,
  kQualityEvalInterval,
  kQualityEvalDuration,
  kCheckpoints,
  kCheckpointFallbacks,
  kCheckpointVerifyFailures,
  kCheckpointDuration,
  kCheckpointStallSeconds,
  kCheckpointLastSuccess,
  kCheckpointLastStep,
  kCheckpointSizeBytes,
  kCheckpointInterval,
  kCheckpointRetained,
  kCheckpointFreeBytes,
  kReplicaChecks,
  kReplicaDivergentRanks,
  kReplicaCheckTimestamp,
  kLogMessages,
  kSignals,
  kRestarts,
  kMetricsRejected,
};

enum class FamilyType : std::uint8_t { kGauge, kCounter, kHistogram };

enum class Scope : std::uint8_t {
  kRankZero,  ///< one value for the run: exported by rank 0 alone
  kPerRank,   ///< exported by every rank, with the label `rank`
};

/// When a series exists and enters a Snapshot.
enum class Presence : std::uint8_t {
  kAlways,      ///< from the start, at 0 (timestamps: at the time of the start), in each Snapshot
  kOnceSet,     ///< from its first value on, in each Snapshot; before it a 0 would raise an alert
  kMeasured,    ///< from its first value on, in the Snapshot that follows each value
  kScrapeOnly,  ///< as kOnceSet, never in a Snapshot: names and liveness, not measurements
};

struct LabelSpec {
  std::string_view name;
  /// Values created at the start, separated by '|'; "$net" stands for the run's nets.
  std::string_view values;
};

struct FamilyRow {
  Family family;
  std::string_view name;
  FamilyType type;
  Scope scope;
  Presence presence;
  std::array<LabelSpec, 6> labels;  ///< without `rank`; unused ones have no name
  std::string_view help;

  [[nodiscard]] constexpr std::size_t label_count() const {
    std::size_t count = 0;
    while (count < labels.size() && !labels[count].name.empty()) ++count;
    return count;
  }
};

/// All rows, in the order of `Family`.
[[nodiscard]] std::span<const FamilyRow> families();

[[nodiscard]] const FamilyRow& row(Family family);

}  // namespace atelier::monitoring
