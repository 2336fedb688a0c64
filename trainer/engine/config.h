// Configuration of the engine. No torch here. Thread safety: values.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "launch/base/config_fields.h"

namespace atelier::engine {

enum class Precision : std::uint8_t {
  kAuto,  ///< measured in the first steps, then stored with the run
  kFloat32,
  kBFloat16,  ///< float32 master weights, bfloat16 convolutions and products
  kFloat64,   ///< for tests that compare world sizes
};

/// Whose images batch normalisation takes its statistics from.
enum class BatchStatistics : std::uint8_t { kSync, kLocal };

enum class Decay : std::uint8_t { kConstant, kLinear, kCosine };

struct TrainConfig {
  std::int64_t steps = 5000;
  std::int64_t batch = 64;        ///< images per step over all ranks
  std::int64_t accumulation = 1;  ///< parts of equal size that pass through the nets in turn
  std::int64_t seed = 0;
  Precision precision = Precision::kAuto;
  BatchStatistics batch_norm = BatchStatistics::kSync;
  bool deterministic = false;
  std::int64_t threads = 1;      ///< compute threads of each rank
  std::int64_t skip_budget = 5;  ///< steps without an update, for values that are not finite
};

enum class OptimizerKind : std::uint8_t { kAdam, kAdamW, kSgd };

/// What gradients travel between ranks as.
enum class Wire : std::uint8_t {
  kFull,      ///< in the type they have
  kBFloat16,  ///< rounded: half the bytes; the ranks' values are summed in float32
};

/// Whether gradients are summed while the backward that makes them goes on.
enum class Overlap : std::uint8_t {
  kAuto,  ///< measured in the first steps, then stored with the run
  kOn,
  kOff,
};

/// What a discriminator may have of its own.
struct DiscriminatorOptimizerConfig {
  std::optional<double> learning_rate;
  std::optional<double> beta1;
  std::optional<double> beta2;
};

/// Learning rates are those of the global batch and never rescale themselves.
struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::kAdam;
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double epsilon = 1e-8;
  double weight_decay = 0.0;
  double momentum = 0.9;   ///< of SGD
  double clip_norm = 0.0;  ///< longest gradient of a net; 0: any length
  std::int64_t warmup_images = 6400;
  Decay decay = Decay::kLinear;
  double decay_from = 0.5;    ///< share of the run after which the rate falls
  double final_factor = 0.0;  ///< of the learning rate, at the end
  std::int64_t ema_half_life_images = 44000;
  std::int64_t bucket_bytes = 0;  ///< gradients are summed in pieces of this size; 0: measured
  Overlap overlap = Overlap::kAuto;
  Wire wire = Wire::kFull;
  DiscriminatorOptimizerConfig discriminator;

  /// With what the net has of its own in place of the general values.
  [[nodiscard]] OptimizerConfig of_net(std::string_view net) const;
};

void describe(ConfigFields& fields, TrainConfig& config);
void describe(ConfigFields& fields, OptimizerConfig& config);

[[nodiscard]] const char* name_of(Precision precision);

/// Factor on the learning rate after `images` of `total_images`. Units: images.
[[nodiscard]] double learning_rate_factor(const OptimizerConfig& config, double images,
                                          double total_images);

/// Weight of the old average after a step of `batch` images: 2^(-batch / half life), where the half
/// life grows with the run until it is reached, so that an early average is not the initial weights
/// (as StyleGAN2's ramp-up of 5 %). Units: images.
[[nodiscard]] double average_decay(const OptimizerConfig& config, double images, double batch);

}  // namespace atelier::engine
