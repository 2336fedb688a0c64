#include "trainer/objectives/config.h"

namespace atelier::objectives {

void describe(ConfigFields& fields, ModelConfig& config) {
  fields.choice("model.family", config.family,
                {{"ae", Family::kAutoencoder}, {"vae", Family::kVae}, {"gan", Family::kGan}},
                {"what is trained"});
  fields.integer("model.width", config.width, {4, 1024}, {"channels of the finest level"});
  fields.integer("model.latent", config.latent, {1, 65536}, {"latent dimensions"});
  fields.choice(
      "model.architecture", config.style.architecture,
      {{"plain", networks::Architecture::kPlain}, {"dcgan", networks::Architecture::kDcgan}},
      {"GAN: dcgan has ReLU and tanh in G, no biases, initial weights N(0, 0.02)"});
  fields.choice("model.normalization", config.style.normalization,
                {{"none", networks::Normalization::kNone},
                 {"batch", networks::Normalization::kBatch},
                 {"group", networks::Normalization::kGroup}},
                {"of every level but the one that touches the image"});
  fields.boolean("model.spectral_norm", config.style.spectral_norm,
                 {"GAN: divide D's weights by their largest singular value"});
}

void describe(ConfigFields& fields, ObjectiveConfig& config) {
  fields.real("objective.l1_weight", config.l1_weight, unit_interval(),
              {"AE: loss = (1 - w) MSE + w L1"});
  fields.real("objective.kl_weight", config.kl_weight, non_negative(),
              {"VAE: weight of the KL term; 1 is the evidence lower bound"});
  fields.choice(
      "objective.gan_loss", config.gan_loss,
      {{"relativistic", GanLoss::kRelativistic}, {"non-saturating", GanLoss::kNonSaturating}},
      {"GAN: what D and G minimise, besides R1 and R2"});
  fields.real("objective.gamma", config.gamma, non_negative(),
              {"GAN: weight of the gradient penalties R1 and R2", true});
  fields.integer("objective.penalty_interval", config.penalty_interval, {1, 1024},
                 {"GAN: R1 and R2 every k-th step, times k"});
}

}  // namespace atelier::objectives
