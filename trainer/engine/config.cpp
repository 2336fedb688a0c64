#include "trainer/engine/config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "launch/base/error.h"

namespace atelier::engine {
namespace {

constexpr double kRampUp = 0.05;
constexpr std::int64_t kMostSteps = std::int64_t{1} << 40;
constexpr RealRange kBeta1{0.0, 0.9999};
constexpr RealRange kBeta2{0.0, 0.999999};

}  // namespace

void describe(ConfigFields& fields, TrainConfig& config) {
  fields.integer("train.steps", config.steps, {1, kMostSteps}, {"steps of the whole run", true});
  fields.integer("train.batch", config.batch, {1, 1 << 20}, {"images per step over all ranks"});
  fields.integer("train.accumulation", config.accumulation, {1, 1 << 20},
                 {"parts of a batch that pass through the nets in turn, to save memory"});
  fields.integer("seed", config.seed, {0}, {"decides weights, order, noise and augmentation"});
  fields.choice("train.precision", config.precision,
                {{"auto", Precision::kAuto},
                 {"fp32", Precision::kFloat32},
                 {"bf16", Precision::kBFloat16},
                 {"fp64", Precision::kFloat64}},
                {"auto measures fp32 and bf16 at the first start and stores the faster"});
  fields.choice(
      "train.batch_norm", config.batch_norm,
      {{"sync", BatchStatistics::kSync}, {"local", BatchStatistics::kLocal}},
      {"sync: statistics over all ranks; local: each rank's own, the running ones rank 0's"});
  fields.boolean("train.deterministic", config.deterministic,
                 {"pins every choice that is otherwise measured, so that reruns are byte-equal"});
  fields.integer("train.threads", config.threads, {1, 1024},
                 {"compute threads of each rank", true});
  fields.integer("train.skip_budget", config.skip_budget, {0},
                 {"steps of a run that may be skipped because values are not finite", true});
}

void describe(ConfigFields& fields, OptimizerConfig& config) {
  fields.choice("optimizer.kind", config.kind,
                {{"adam", OptimizerKind::kAdam},
                 {"adamw", OptimizerKind::kAdamW},
                 {"sgd", OptimizerKind::kSgd}},
                {"adamw: Adam with decoupled weight decay; sgd: with momentum"});
  fields.real("optimizer.learning_rate", config.learning_rate, positive(),
              {"for the global batch", true});
  fields.real("optimizer.beta1", config.beta1, kBeta1, {"decay of Adam's first moment"});
  fields.real("optimizer.beta2", config.beta2, kBeta2, {"decay of Adam's second moment"});
  fields.real("optimizer.epsilon", config.epsilon, positive(), {"added to the root in Adam"});
  fields.real("optimizer.weight_decay", config.weight_decay, {0.0, 1.0},
              {"pull of the weights to zero", true});
  fields.real("optimizer.momentum", config.momentum, {0.0, 0.9999}, {"of sgd"});
  fields.real("optimizer.clip_norm", config.clip_norm, non_negative(),
              {"longest gradient of a net, longer ones are scaled down; 0: any length", true});
  fields.integer("optimizer.warmup_images", config.warmup_images, {0},
                 {"images over which the learning rate rises from 0", true});
  fields.choice(
      "optimizer.decay", config.decay,
      {{"constant", Decay::kConstant}, {"linear", Decay::kLinear}, {"cosine", Decay::kCosine}},
      {"how the learning rate falls", true});
  fields.real("optimizer.decay_from", config.decay_from, unit_interval(),
              {"share of the run after which it falls", true});
  fields.real("optimizer.final_factor", config.final_factor, unit_interval(),
              {"of the learning rate, at the end of the run", true});
  fields.integer("optimizer.ema_half_life_images", config.ema_half_life_images, {1},
                 {"half life of the weight average"});
  fields.integer("optimizer.bucket_bytes", config.bucket_bytes, {0, std::int64_t{1} << 40},
                 {"gradients are summed over ranks in pieces of this size; 0: measured with "
                  "overlap, else 4 MiB",
                  true});
  fields.choice("optimizer.overlap", config.overlap,
                {{"auto", Overlap::kAuto}, {"on", Overlap::kOn}, {"off", Overlap::kOff}},
                {"sum gradients while the backward goes on; auto: where that is faster", true});
  fields.choice(
      "optimizer.wire", config.wire, {{"full", Wire::kFull}, {"bf16", Wire::kBFloat16}},
      {"what gradients travel between ranks as; bf16: half the bytes, summed in float32"});
  DiscriminatorOptimizerConfig& own = config.discriminator;
  fields.optional_real("optimizer.discriminator.learning_rate", own.learning_rate, positive(),
                       {"of the discriminator; unset: optimizer.learning_rate", true});
  fields.optional_real("optimizer.discriminator.beta1", own.beta1, kBeta1,
                       {"of the discriminator; unset: optimizer.beta1"});
  fields.optional_real("optimizer.discriminator.beta2", own.beta2, kBeta2,
                       {"of the discriminator; unset: optimizer.beta2"});
}

OptimizerConfig OptimizerConfig::of_net(std::string_view net) const {
  OptimizerConfig own = *this;
  if (net != "D") return own;
  own.learning_rate = discriminator.learning_rate.value_or(learning_rate);
  own.beta1 = discriminator.beta1.value_or(beta1);
  own.beta2 = discriminator.beta2.value_or(beta2);
  return own;
}

const char* name_of(Precision precision) {
  switch (precision) {
    case Precision::kAuto:
      return "auto";
    case Precision::kFloat32:
      return "fp32";
    case Precision::kBFloat16:
      return "bf16";
    case Precision::kFloat64:
      return "fp64";
  }
  fail_check("precision", "unknown precision");
}

double learning_rate_factor(const OptimizerConfig& config, double images, double total_images) {
  const auto warmup = static_cast<double>(config.warmup_images);
  const double rise = warmup > 0 ? std::min(1.0, images / warmup) : 1.0;
  const double start = config.decay_from * total_images;
  if (config.decay == Decay::kConstant || images <= start) return rise;
  const double progress = std::min(1.0, (images - start) / std::max(1.0, total_images - start));
  const double fallen = config.decay == Decay::kLinear
                            ? 1.0 - progress
                            : 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
  return rise * (config.final_factor + (1.0 - config.final_factor) * fallen);
}

double average_decay(const OptimizerConfig& config, double images, double batch) {
  const double half_life =
      std::min(static_cast<double>(config.ema_half_life_images), kRampUp * images);
  return half_life > 0 ? std::exp2(-batch / half_life) : 0.0;
}

}  // namespace atelier::engine
