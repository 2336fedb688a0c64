// Configuration of models and their losses. No torch here. Thread safety: values.
#pragma once

#include <cstdint>

#include "launch/base/config_fields.h"
#include "trainer/networks/style.h"

namespace atelier::objectives {

enum class Family : std::uint8_t { kAutoencoder, kVae, kGan };

struct ModelConfig {
  Family family = Family::kAutoencoder;
  std::int64_t width = 32;    ///< channels of the finest level
  std::int64_t latent = 128;  ///< latent dimensions
  networks::Style style = {};
};

enum class GanLoss : std::uint8_t { kRelativistic, kNonSaturating };

struct ObjectiveConfig {
  double l1_weight = 0.1;  ///< AE: loss = (1 - w) MSE + w L1
  double kl_weight = 1.0;  ///< VAE: 1 is the evidence lower bound
  GanLoss gan_loss = GanLoss::kRelativistic;
  double gamma = 1.0;                 ///< GAN: weight of R1 and R2
  std::int64_t penalty_interval = 4;  ///< GAN: R1 and R2 every k-th step, times k
};

void describe(ConfigFields& fields, ModelConfig& config);
void describe(ConfigFields& fields, ObjectiveConfig& config);

}  // namespace atelier::objectives
