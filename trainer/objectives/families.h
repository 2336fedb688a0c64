// The families, one source file each; registry.cpp chooses. Thread safety: pure functions.
#pragma once

#include <memory>

#include "trainer/networks/geometry.h"
#include "trainer/objectives/config.h"
#include "trainer/objectives/objective.h"

namespace atelier::objectives {

/// Autoencoder. Terms: mse, l1 (means over pixels); minimised: (1 - w) mse + w l1.
[[nodiscard]] std::unique_ptr<Objective> make_autoencoder(const ModelConfig& model,
                                                          const ObjectiveConfig& objective,
                                                          const networks::Geometry& geometry);

/// Variational autoencoder (Kingma and Welling 2014) with the optimal-sigma Gaussian decoder
/// (Rybkin, Daniilidis, Levine 2021, eq. 6): sigma² is the mean squared error of the global batch.
/// Terms, in nats per image: nll (summed over pixels), kl (summed over latents); and mse.
[[nodiscard]] std::unique_ptr<Objective> make_vae(const ModelConfig& model,
                                                  const ObjectiveConfig& objective,
                                                  const networks::Geometry& geometry);

/// Relativistic pairing GAN with R1 and R2 (Huang et al. 2024, eq. 2 and 5; Mescheder et al. 2018).
/// Phase D, terms: adversarial, r1, r2 (mean squared gradient norms, every k-th step).
/// Phase G, terms: adversarial. Pairs are by slot. Or, by objective.gan_loss, the non-saturating
/// GAN of Goodfellow et al. 2014, with the same penalties.
[[nodiscard]] std::unique_ptr<Objective> make_gan(const ModelConfig& model,
                                                  const ObjectiveConfig& objective,
                                                  const networks::Geometry& geometry);

}  // namespace atelier::objectives
