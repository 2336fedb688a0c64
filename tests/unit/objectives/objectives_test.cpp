// Every loss term against plain loops over the outputs of the nets, and every gradient against
// finite differences. All in double precision.
#include <cmath>
#include <numbers>
#include <random>

#include <gtest/gtest.h>

#include "launch/comm/self_comm.h"
#include "launch/comm/thread_comm.h"
#include "trainer/objectives/registry.h"

namespace atelier::objectives {
namespace {

constexpr std::int64_t kLatent = 5;
constexpr std::int64_t kBatch = 3;
constexpr std::uint64_t kSeed = 11;
constexpr double kD = 1.0 * 16 * 16;  // values per image
const networks::Geometry kGeometry{1, 16, 16};

std::unique_ptr<Objective> make(Family family, const ObjectiveConfig& config) {
  at::set_num_threads(1);  // small tensors, shared cores
  auto objective =
      make_objective({.family = family, .width = 4, .latent = kLatent}, config, kGeometry, kSeed);
  for (const NamedNet& named : objective->nets()) named.net->to(torch::kDouble);
  return objective;
}

at::Tensor random_images(std::int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  at::Tensor images = torch::empty({count, 1, 16, 16}, torch::kDouble);
  for (std::int64_t i = 0; i < images.numel(); ++i) {
    images.data_ptr<double>()[i] = uniform(generator);
  }
  return images;
}

Position position_at(std::int64_t step) {
  return {
      .seed = kSeed, .step = step, .first_slot = 0, .local_batch = kBatch, .global_batch = kBatch};
}

// The noise of `normal`, slot by slot from the generator itself.
at::Tensor noise(Stream stream, std::int64_t step) {
  at::Tensor values = torch::empty({kBatch, kLatent}, torch::kFloat);
  for (std::int64_t slot = 0; slot < kBatch; ++slot) {
    fill_normal({.seed = kSeed,
                 .stream = stream,
                 .major = static_cast<std::uint64_t>(step),
                 .minor = static_cast<std::uint64_t>(slot)},
                {values[slot].data_ptr<float>(), static_cast<std::size_t>(kLatent)});
  }
  return values.to(torch::kDouble);
}

std::vector<double> doubles(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().contiguous().view(-1);
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

double term(const Losses& losses, std::string_view name) {
  for (const LossTerm& one : losses.terms) {
    if (one.name == name) return one.value.item<double>();
  }
  ADD_FAILURE() << "no term " << name;
  return std::nan("");
}

void expect_relative(double found, double expected, double tolerance) {
  EXPECT_NEAR(found, expected, tolerance * std::abs(expected));
}

class Trained {
 public:
  Trained(Family family, const ObjectiveConfig& config) : objective_(make(family, config)) {}
  Objective& operator*() { return *objective_; }
  Objective* operator->() { return objective_.get(); }

  Losses losses(std::size_t phase, const at::Tensor& images, std::int64_t step = 0) {
    return objective_->losses(
        objective_->phases().at(phase),
        {.images_NCHW = images, .position = position_at(step), .batch = batch_});
  }
  networks::Net& net(const std::string& name) {
    for (const NamedNet& named : objective_->nets()) {
      if (named.name == name) return *named.net;
    }
    throw std::runtime_error("no net " + name);
  }
  void only_trains(const std::string& name) {
    for (const NamedNet& named : objective_->nets()) {
      for (at::Tensor& p : named.net->parameters()) p.requires_grad_(named.name == name);
    }
  }

 private:
  comm::SelfComm comm_;
  parallel::BatchReducer batch_{comm_};
  std::unique_ptr<Objective> objective_;
};

// dL/dw by autograd against (L(w + h) - L(w - h)) / 2h for the first and the last value of every
// parameter; and no parameter may be left without a gradient.
void expect_gradients_by_differences(Trained& trained, std::size_t phase, std::int64_t step) {
  constexpr double kStep = 1e-6;
  const at::Tensor images = random_images(kBatch, 5);
  const std::string name = trained->phases().at(phase).net;
  trained.only_trains(name);
  trained.losses(phase, images, step).total.backward();
  for (auto& parameter : trained.net(name).named_parameters()) {
    SCOPED_TRACE(parameter.key());
    EXPECT_GT(parameter->grad().abs().sum().item<double>(), 0);
    const at::Tensor flat = parameter->detach().view(-1);
    for (const std::int64_t at : {std::int64_t{0}, flat.numel() - 1}) {
      const double original = flat[at].item<double>();
      flat[at] = original + kStep;
      const double above = trained.losses(phase, images, step).total.item<double>();
      flat[at] = original - kStep;
      const double below = trained.losses(phase, images, step).total.item<double>();
      flat[at] = original;
      const double expected = (above - below) / (2 * kStep);
      EXPECT_NEAR(parameter->grad().view(-1)[at].item<double>(), expected,
                  1e-7 * std::abs(above) + 1e-5 * std::abs(expected));
    }
  }
}

TEST(Autoencoder, terms_are_means_over_all_pixels) {
  Trained ae(Family::kAutoencoder, {.l1_weight = 0.3});
  const at::Tensor images = random_images(kBatch, 1);
  const auto x = doubles(images);
  const auto y = doubles(ae->decode(ae->encode(images)->mu_NZ));
  double squared = 0;
  double absolute = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    squared += (x[i] - y[i]) * (x[i] - y[i]);
    absolute += std::abs(x[i] - y[i]);
  }

  const Losses losses = ae.losses(0, images);

  expect_relative(term(losses, "mse"), squared / (kBatch * kD), 1e-12);
  expect_relative(term(losses, "l1"), absolute / (kBatch * kD), 1e-12);
  expect_relative(losses.total.item<double>(), (0.7 * squared + 0.3 * absolute) / (kBatch * kD),
                  1e-12);
}

TEST(Autoencoder, gradients_equal_finite_differences) {
  Trained ae(Family::kAutoencoder, {.l1_weight = 0.3});
  expect_gradients_by_differences(ae, 0, 0);
}

struct Pass {
  std::vector<double> x, y, mu, logvar;
  double mse = 0;
};

Pass variational_pass(Objective& vae, const at::Tensor& images, std::int64_t step) {
  const Posterior posterior = *vae.encode(images);
  const at::Tensor z =
      posterior.mu_NZ + noise(Stream::kPosterior, step) * (posterior.logvar_NZ / 2).exp();
  Pass pass{doubles(images), doubles(vae.decode(z)), doubles(posterior.mu_NZ),
            doubles(posterior.logvar_NZ)};
  for (std::size_t i = 0; i < pass.x.size(); ++i) {
    pass.mse += (pass.x[i] - pass.y[i]) * (pass.x[i] - pass.y[i]) / (kBatch * kD);
  }
  return pass;
}

TEST(Vae, likelihood_is_that_of_a_gaussian_with_the_optimal_sigma) {
  Trained vae(Family::kVae, {});
  const at::Tensor images = random_images(kBatch, 2);
  const Pass pass = variational_pass(*vae, images, 4);
  // Rybkin et al.: log sigma = softclip(log sqrt(mse), -6); then the density, pixel by pixel.
  const double log_sigma = -6 + std::log1p(std::exp(0.5 * std::log(pass.mse + 1e-10) + 6));
  double nll = 0;
  for (std::size_t i = 0; i < pass.x.size(); ++i) {
    const double standardised = (pass.x[i] - pass.y[i]) * std::exp(-log_sigma);
    nll += (0.5 * standardised * standardised + log_sigma + 0.5 * std::log(2 * std::numbers::pi)) /
           kBatch;
  }

  const Losses losses = vae.losses(0, images, 4);

  expect_relative(term(losses, "mse"), pass.mse, 1e-12);
  expect_relative(term(losses, "nll"), nll, 1e-12);
  // Far from the floor it is (D/2) log(2 pi e MSE).
  expect_relative(nll, kD / 2 * std::log(2 * std::numbers::pi * std::numbers::e * pass.mse), 1e-4);
}

TEST(Vae, likelihood_gradient_is_that_of_log_mse) {
  Trained vae(Family::kVae, {.kl_weight = 0});
  const at::Tensor images = random_images(kBatch, 2);
  vae.losses(0, images, 4).total.backward();
  std::vector<at::Tensor> found;
  for (const at::Tensor& p : vae.net("VAE").parameters()) found.push_back(p.grad().clone());

  const Posterior posterior = *vae->encode(images);
  const at::Tensor z =
      posterior.mu_NZ + noise(Stream::kPosterior, 4) * (posterior.logvar_NZ / 2).exp();
  const at::Tensor closed_form = kD / 2 * (vae->decode(z) - images).square().mean().log();
  const auto expected = torch::autograd::grad({closed_form}, vae.net("VAE").parameters());

  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_LT((found[i] - expected[i]).norm().item<double>(),
              1e-4 * expected[i].norm().item<double>());
  }
}

TEST(Vae, divergence_is_that_of_two_gaussians_summed_over_latents) {
  for (const double weight : {1.0, 0.25}) {
    Trained vae(Family::kVae, {.kl_weight = weight});
    const at::Tensor images = random_images(kBatch, 3);
    const Pass pass = variational_pass(*vae, images, 9);
    double kl = 0;
    for (std::size_t i = 0; i < pass.mu.size(); ++i) {
      const double variance = std::exp(pass.logvar[i]);
      kl += (-std::log(std::sqrt(variance)) + (variance + pass.mu[i] * pass.mu[i]) / 2 - 0.5) /
            kBatch;
    }

    const Losses losses = vae.losses(0, images, 9);

    expect_relative(term(losses, "kl"), kl, 1e-12);
    expect_relative(losses.total.item<double>(), term(losses, "nll") + weight * kl, 1e-12);
  }
}

TEST(Vae, gradients_equal_finite_differences) {
  Trained vae(Family::kVae, {});
  expect_gradients_by_differences(vae, 0, 6);
}

TEST(Vae, images_reproduced_exactly_keep_loss_and_gradient_finite) {
  Trained vae(Family::kVae, {});
  {
    const torch::NoGradGuard no_grad;
    for (auto& p : vae.net("VAE").named_parameters()) {
      if (p.key().starts_with("decoder")) p->zero_();
    }
  }

  const Losses losses = vae.losses(0, torch::zeros({kBatch, 1, 16, 16}, torch::kDouble));
  losses.total.backward();

  EXPECT_EQ(term(losses, "mse"), 0);
  EXPECT_TRUE(std::isfinite(losses.total.item<double>()));
  for (const at::Tensor& p : vae.net("VAE").parameters()) {
    EXPECT_TRUE(torch::isfinite(p.grad()).all().item<bool>());
  }
}

double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

TEST(Gan, pairs_real_and_fake_by_slot) {
  Trained gan(Family::kGan, {.penalty_interval = 4});
  const at::Tensor images = random_images(kBatch, 4);
  const auto real = doubles(gan->criticise(images)->logits_N);
  const auto seen_by_d =
      doubles(gan->criticise(gan->decode(noise(Stream::kDiscriminatorLatents, 5)))->logits_N);
  const auto made_by_g = doubles(gan->criticise(gan->decode(noise(Stream::kLatents, 5)))->logits_N);
  double d_loss = 0;
  double g_loss = 0;
  for (std::size_t i = 0; i < kBatch; ++i) {
    d_loss += softplus(-(real[i] - seen_by_d[i])) / kBatch;
    g_loss += softplus(-(made_by_g[i] - real[i])) / kBatch;
  }

  const Losses d = gan.losses(0, images, 5);
  const Losses g = gan.losses(1, images, 5);

  expect_relative(term(d, "adversarial"), d_loss, 1e-12);
  expect_relative(d.total.item<double>(), d_loss, 1e-12);  // step 5: no penalty
  EXPECT_EQ(d.terms.size(), 1U);
  expect_relative(term(g, "adversarial"), g_loss, 1e-12);
  expect_relative(g.total.item<double>(), g_loss, 1e-12);
}

// |dD/dx|^2 averaged over images, each partial derivative by a central difference.
double mean_squared_gradient(Objective& gan, const at::Tensor& images) {
  constexpr double kStep = 1e-6;
  const torch::NoGradGuard no_grad;
  const auto values = static_cast<std::int64_t>(kD);
  const at::Tensor nudges = (kStep * torch::eye(values, torch::kDouble)).view({values, 1, 16, 16});
  double sum = 0;
  for (std::int64_t i = 0; i < images.size(0); ++i) {
    const auto above = doubles(gan.criticise(images[i] + nudges)->logits_N);
    const auto below = doubles(gan.criticise(images[i] - nudges)->logits_N);
    for (std::size_t k = 0; k < above.size(); ++k) {
      const double slope = (above[k] - below[k]) / (2 * kStep);
      sum += slope * slope;
    }
  }
  return sum / static_cast<double>(images.size(0));
}

TEST(Gan, penalties_are_squared_gradient_norms_at_real_and_at_fake) {
  constexpr std::int64_t kInterval = 3;
  Trained gan(Family::kGan, {.gamma = 0.7, .penalty_interval = kInterval});
  const at::Tensor images = random_images(kBatch, 6);
  const at::Tensor fakes = gan->decode(noise(Stream::kDiscriminatorLatents, 6)).detach();

  const Losses losses = gan.losses(0, images, 6);

  const double r1 = term(losses, "r1");
  const double r2 = term(losses, "r2");
  expect_relative(r1, mean_squared_gradient(*gan, images), 1e-6);
  expect_relative(r2, mean_squared_gradient(*gan, fakes), 1e-6);
  expect_relative(losses.total.item<double>(),
                  term(losses, "adversarial") + 0.5 * 0.7 * kInterval * (r1 + r2), 1e-12);
}

TEST(NonSaturatingGan, phases_judge_the_same_images) {
  Trained gan(Family::kGan, {.gan_loss = GanLoss::kNonSaturating, .gamma = 0});
  const at::Tensor images = random_images(kBatch, 4);
  const auto real = doubles(gan->criticise(images)->logits_N);
  const auto fake = doubles(gan->criticise(gan->decode(noise(Stream::kLatents, 4)))->logits_N);
  double d_loss = 0;
  double g_loss = 0;
  for (std::size_t i = 0; i < kBatch; ++i) {
    d_loss += (softplus(-real[i]) + softplus(fake[i])) / kBatch;
    g_loss += softplus(-fake[i]) / kBatch;
  }

  const Losses d = gan.losses(0, images, 4);
  const Losses g = gan.losses(1, images, 4);
  const Losses again = gan.losses(1, images, 4);  // the images were used up: they are made again

  expect_relative(term(d, "adversarial"), d_loss, 1e-12);
  EXPECT_EQ(d.terms.size(), 1U);  // gamma 0: no penalties
  expect_relative(term(g, "adversarial"), g_loss, 1e-12);
  expect_relative(term(again, "adversarial"), g_loss, 1e-12);
  EXPECT_EQ(gan->phases()[0].graph_of, "G");
}

TEST(NonSaturatingGan, gradients_equal_finite_differences_with_and_without_penalty) {
  for (const std::int64_t step : {0, 1}) {
    Trained gan(Family::kGan,
                {.gan_loss = GanLoss::kNonSaturating, .gamma = 0.7, .penalty_interval = 4});
    expect_gradients_by_differences(gan, 0, step);
  }
  Trained gan(Family::kGan, {.gan_loss = GanLoss::kNonSaturating});
  expect_gradients_by_differences(gan, 1, 1);
}

TEST(NonSaturatingGan, the_generator_learns_through_the_kept_graph) {
  Trained gan(Family::kGan, {.gan_loss = GanLoss::kNonSaturating, .gamma = 0});
  const at::Tensor images = random_images(kBatch, 4);
  gan.losses(0, images, 4).total.backward();
  for (const at::Tensor& p : gan.net("G").parameters()) EXPECT_FALSE(p.grad().defined());
  gan.losses(1, images, 4).total.backward();
  for (const at::Tensor& p : gan.net("G").parameters()) EXPECT_TRUE(p.grad().defined());
}

TEST(Gan, penalties_come_every_kth_step) {
  Trained gan(Family::kGan, {.penalty_interval = 3});
  const at::Tensor images = random_images(kBatch, 6);
  for (std::int64_t step = 0; step < 7; ++step) {
    EXPECT_EQ(gan.losses(0, images, step).terms.size(), step % 3 == 0 ? 3U : 1U) << step;
  }
}

TEST(Gan, gradients_equal_finite_differences_with_and_without_penalty) {
  for (const std::int64_t step : {0, 1}) {
    Trained gan(Family::kGan, {.gamma = 0.7, .penalty_interval = 4});
    expect_gradients_by_differences(gan, 0, step);
  }
  Trained gan(Family::kGan, {});
  expect_gradients_by_differences(gan, 1, 1);
}

TEST(Gan, discriminator_phase_sends_no_gradient_to_the_generator) {
  Trained gan(Family::kGan, {});
  gan.losses(0, random_images(kBatch, 7), 0).total.backward();
  for (const at::Tensor& p : gan.net("G").parameters()) EXPECT_FALSE(p.grad().defined());
}

TEST(Gan, generator_phase_sends_no_gradient_to_a_fixed_discriminator) {
  Trained gan(Family::kGan, {});
  gan.only_trains("G");
  gan.losses(1, random_images(kBatch, 7), 0).total.backward();
  for (const at::Tensor& p : gan.net("D").parameters()) EXPECT_FALSE(p.grad().defined());
}

TEST(Noise, rows_depend_on_seed_stream_step_and_slot_alone) {
  const Position whole{
      .seed = 3, .step = 17, .first_slot = 0, .local_batch = 12, .global_batch = 12};
  const at::Tensor all = normal(whole, Stream::kLatents, 6, torch::kFloat);

  for (const std::int64_t parts : {1, 2, 3, 5, 12}) {
    for (std::int64_t part = 0; part < parts; ++part) {
      Position some = whole;
      some.first_slot = 12 * part / parts;
      some.local_batch = 12 * (part + 1) / parts - some.first_slot;
      EXPECT_TRUE(normal(some, Stream::kLatents, 6, torch::kFloat)
                      .equal(all.narrow(0, some.first_slot, some.local_batch)));
    }
  }
  Position other = whole;
  other.step = 18;
  EXPECT_FALSE(normal(other, Stream::kLatents, 6, torch::kFloat).equal(all));
  other = whole;
  other.seed = 4;
  EXPECT_FALSE(normal(other, Stream::kLatents, 6, torch::kFloat).equal(all));
  EXPECT_FALSE(normal(whole, Stream::kPosterior, 6, torch::kFloat).equal(all));
  EXPECT_TRUE(normal(whole, Stream::kLatents, 6, torch::kDouble).equal(all.to(torch::kDouble)));
}

class Families : public ::testing::TestWithParam<Family> {};

// The rule of BatchReducer, seen from outside: terms and totals of all ranks add up to those of one
// rank with the whole batch, for shares of different size.
TEST_P(Families, shares_of_the_ranks_add_up_to_the_loss_of_one_rank) {
  const at::Tensor images = random_images(kBatch, 8);
  Trained alone(GetParam(), {});
  for (std::size_t phase = 0; phase < alone->phases().size(); ++phase) {
    const Losses whole = alone.losses(phase, images);
    comm::run_ranks(2, [&](comm::Comm& comm) {
      const parallel::BatchReducer batch(comm);
      const auto mine = make(GetParam(), {});
      Position position = position_at(0);
      position.first_slot = comm.rank();
      position.local_batch = comm.rank() == 0 ? 1 : 2;
      const at::Tensor rows = images.narrow(0, position.first_slot, position.local_batch);

      const Losses part = mine->losses(mine->phases().at(phase),
                                       {.images_NCHW = rows, .position = position, .batch = batch});

      EXPECT_NEAR(batch.sum(part.total.detach()).item<double>(), whole.total.item<double>(), 1e-10);
      for (std::size_t i = 0; i < whole.terms.size(); ++i) {
        EXPECT_EQ(part.terms.at(i).name, whole.terms[i].name);
        EXPECT_NEAR(batch.sum(part.terms.at(i).value).item<double>(),
                    whole.terms[i].value.item<double>(), 1e-10)
            << whole.terms[i].name;
      }
    });
  }
}

TEST_P(Families, phases_name_their_nets_and_all_their_terms) {
  Trained trained(GetParam(), {});
  const at::Tensor images = random_images(kBatch, 8);
  for (std::size_t phase = 0; phase < trained->phases().size(); ++phase) {
    const Phase& declared = trained->phases()[phase];
    EXPECT_NO_THROW(trained.net(declared.net));
    const Losses losses = trained.losses(phase, images, 0);
    ASSERT_EQ(losses.terms.size(), declared.terms.size());
    for (std::size_t i = 0; i < losses.terms.size(); ++i) {
      EXPECT_EQ(losses.terms[i].name, declared.terms[i]);
      EXPECT_FALSE(losses.terms[i].value.requires_grad());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Families,
                         ::testing::Values(Family::kAutoencoder, Family::kVae, Family::kGan));

TEST(Registry, weights_follow_the_seed) {
  const ModelConfig model{.family = Family::kGan, .width = 4, .latent = kLatent};
  const auto weights = [&](std::uint64_t seed) {
    std::vector<at::Tensor> all;
    const auto made = make_objective(model, {}, kGeometry, seed);
    for (const NamedNet& named : made->nets()) {
      for (const at::Tensor& p : named.net->parameters()) all.push_back(p);
    }
    return all;
  };
  const auto first = weights(1);
  const auto again = weights(1);
  const auto other = weights(2);
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_TRUE(first[i].equal(again[i]));
    EXPECT_FALSE(first[i].equal(other[i]));
  }
}

}  // namespace
}  // namespace atelier::objectives
