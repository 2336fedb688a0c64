// The pieces of the engine, each against an independent form of what it promises: plain autograd,
// torch's own optimizer, loops in double precision.
#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <mutex>
#include <numeric>

#include <ATen/ops/_fused_adam.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/base/error.h"
#include "launch/comm/self_comm.h"
#include "launch/comm/thread_comm.h"
#include "tests/unit/engine/trajectory.h"
#include "trainer/engine/images.h"
#include "trainer/networks/adversarial.h"

namespace atelier::engine {
namespace {

using objectives::Family;
using tests::Recipe;
using tests::Trainee;

const networks::Geometry kGeometry{3, 16, 16};
constexpr std::int64_t kBucketBytes = 4096;

std::shared_ptr<networks::Discriminator> discriminator() {
  at::set_num_threads(1);  // small tensors, shared cores
  auto net = std::make_shared<networks::Discriminator>(kGeometry, 5);  // sizes that need padding
  networks::initialize(*net, 1, 0);
  return net;
}

std::vector<at::Tensor> copies(networks::Net& net) {
  std::vector<at::Tensor> all;
  for (const at::Tensor& p : net.parameters()) all.push_back(p.detach().clone());
  return all;
}

std::string bytes_of(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.data_ptr()), tensor.nbytes()};
}

// ---- FlatParameters

TEST(FlatParameters, keep_values_in_aligned_channels_last_views) {
  for (const at::ScalarType type : {torch::kFloat, torch::kDouble}) {
    const auto net = discriminator();
    const auto before = copies(*net);

    comm::SelfComm comm;
    const FlatParameters flat(*net, type, comm);

    const auto parameters = net->named_parameters();
    ASSERT_EQ(flat.slots().size(), before.size());
    std::int64_t end = FlatParameters::kVerdict;
    for (std::size_t i = 0; i < before.size(); ++i) {
      const FlatParameters::Slot& slot = flat.slots()[i];
      const at::Tensor& parameter = parameters[i].value();
      EXPECT_EQ(slot.name, parameters[i].key());
      EXPECT_TRUE(parameter.equal(before[i].to(type)));
      EXPECT_GE(slot.offset, end) << "overlaps the one before";
      end = slot.offset + parameter.numel();
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(parameter.data_ptr()) % 64, 0U);
      EXPECT_EQ(parameter.data_ptr(), FlatParameters::view(flat.weights(), slot).data_ptr());
      if (parameter.dim() == 4) {
        EXPECT_TRUE(parameter.is_contiguous(at::MemoryFormat::ChannelsLast));
      }
    }
    EXPECT_LE(end, flat.weights().numel());
    EXPECT_EQ(flat.parameters(), networks::parameter_count(*net));
  }
}

TEST(FlatParameters, writing_the_buffer_writes_the_net) {
  const auto net = discriminator();
  comm::SelfComm comm;
  FlatParameters flat(*net, torch::kFloat, comm);
  const at::Tensor x = torch::rand({2, 3, 16, 16});

  {
    const torch::NoGradGuard no_grad;
    flat.weights().zero_();
  }

  for (const at::Tensor& p : net->parameters()) EXPECT_EQ(p.abs().sum().item<float>(), 0);
  EXPECT_EQ(net->forward(x).abs().sum().item<float>(), 0);
}

// A loss with a gradient penalty: its backward differentiates twice.
at::Tensor penalised(networks::Discriminator& net, const at::Tensor& images) {
  const at::Tensor x = images.detach().requires_grad_(true);
  const at::Tensor logits = net.forward(x);
  const at::Tensor slope = torch::autograd::grad({logits.sum()}, {x}, {}, true, true)[0];
  return logits.exp().mean() + slope.square().sum();
}

TEST(FlatParameters, frozen_parameters_come_last_and_have_no_gradients) {
  const auto net = discriminator();
  net->named_parameters()["convolutions.0.weight"].requires_grad_(false);
  comm::SelfComm comm;

  FlatParameters flat(*net, torch::kFloat, comm);

  EXPECT_EQ(flat.trained_slots() + 1, flat.slots().size());
  EXPECT_EQ(flat.slots().back().name, "convolutions.0.weight");
  EXPECT_EQ(flat.gradients().numel(), flat.slots().back().offset);
  flat.require_gradients(false);
  flat.require_gradients(true);
  EXPECT_FALSE(net->named_parameters()["convolutions.0.weight"].requires_grad());
  EXPECT_TRUE(net->named_parameters()["convolutions.0.bias"].requires_grad());
}

// ---- GradientBuckets

struct Bucketed {
  Bucketed(networks::Net& net, at::ScalarType type, comm::Comm& comm,
           std::int64_t bucket_bytes = kBucketBytes)
      : flat(net, type, comm), buckets(flat, comm, "D", bucket_bytes) {}
  [[nodiscard]] at::Tensor gradient(std::size_t slot) const {
    return FlatParameters::view(flat.gradients(), flat.slots()[slot]);
  }
  FlatParameters flat;
  GradientBuckets buckets;
};

TEST(GradientBuckets, backwards_of_a_phase_add_up_with_gradient_penalties_counted_once) {
  const auto plain = discriminator();
  plain->to(torch::kDouble);
  const auto net = discriminator();
  comm::SelfComm comm;
  Bucketed bucketed(*net, torch::kDouble, comm);
  const at::Tensor x = torch::rand({4, 3, 16, 16}, torch::kDouble);
  const auto expected = torch::autograd::grad({penalised(*plain, x)}, plain->parameters());

  for (const double backwards : {2.0, 1.0}) {  // the second phase has to forget the first
    bucketed.buckets.begin();
    for (int i = 0; i < backwards; ++i) penalised(*net, x).backward();
    EXPECT_EQ(bucketed.buckets.finish(), 0);

    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_TRUE(bucketed.gradient(i).allclose(backwards * expected[i], 1e-10, 1e-13))
          << bucketed.flat.slots()[i].name;
      EXPECT_FALSE(net->parameters()[i].grad().defined()) << "kept a second copy";
    }
  }
}

TEST(GradientBuckets, parameters_that_no_backward_reached_have_a_gradient_of_zero) {
  const auto net = discriminator();
  comm::SelfComm comm;
  Bucketed bucketed(*net, torch::kFloat, comm);
  bucketed.flat.gradients().fill_(7);

  bucketed.buckets.begin();
  net->named_parameters()["convolutions.0.weight"].sum().backward();
  bucketed.buckets.finish();

  for (std::size_t i = 0; i < bucketed.flat.slots().size(); ++i) {
    const bool used = bucketed.flat.slots()[i].name == "convolutions.0.weight";
    EXPECT_EQ(bucketed.gradient(i).min().item<float>(), used ? 1 : 0);
    EXPECT_EQ(bucketed.gradient(i).max().item<float>(), used ? 1 : 0);
  }
}

TEST(GradientBuckets, frozen_parameters_stay_as_they_are) {
  const auto net = discriminator();
  at::Tensor frozen = net->named_parameters()["convolutions.0.weight"];
  frozen.requires_grad_(false);
  const at::Tensor before = frozen.clone();
  comm::SelfComm comm;
  TrainedNet trained({.name = "D", .net = net, .averaged = true}, torch::kFloat, comm,
                     kBucketBytes);

  trained.gradients().begin();
  net->forward(torch::rand({4, 3, 16, 16})).sum().backward();
  trained.gradients().finish();
  trained.update({}, 1e-2, 0.5);

  EXPECT_TRUE(net->named_parameters()["convolutions.0.weight"].equal(before));
  EXPECT_EQ(trained.weight_state().size(), trained.average_state().size());
  EXPECT_EQ(trained.optimizer_state().size(), 2 * (trained.weight_state().size() - 1) + 1);
}

TEST(GradientBuckets, bucket_size_changes_calls_but_no_bits) {
  const at::Tensor x = torch::rand({6, 3, 16, 16});
  std::mutex mutex;
  std::vector<std::string> sums;
  std::vector<std::uint64_t> calls;
  for (const std::int64_t bucket_bytes : {1, 1000, 20'000, 1 << 20}) {
    comm::run_ranks(3, [&](comm::Comm& comm) {
      const auto net = discriminator();
      Bucketed bucketed(*net, torch::kFloat, comm, bucket_bytes);
      const std::uint64_t before = comm.sequence();
      bucketed.buckets.begin();
      net->forward(x.narrow(0, 2 * comm.rank(), 2)).exp().sum().backward();

      const std::int64_t moved = bucketed.buckets.finish();

      EXPECT_EQ(moved, static_cast<std::int64_t>(bucketed.flat.gradients().nbytes()));
      EXPECT_EQ(comm.sequence() - before, bucketed.buckets.buckets());
      const std::lock_guard lock(mutex);
      sums.push_back(bytes_of(bucketed.flat.gradients()));
      calls.push_back(bucketed.buckets.buckets());
    });
  }
  for (const std::string& sum : sums) EXPECT_TRUE(sum == sums.front());
  EXPECT_EQ(calls.front(), 5U) << "a bucket per parameter";
  EXPECT_EQ(calls.back(), 1U);
}

TEST(GradientBuckets, an_infinite_loss_reaches_every_rank) {
  comm::run_ranks(2, [](comm::Comm& comm) {
    const auto net = discriminator();
    Bucketed bucketed(*net, torch::kFloat, comm);
    bucketed.buckets.begin();
    const double loss = comm.rank() == 1 ? std::numeric_limits<double>::infinity() : 1.0;
    bucketed.buckets.add_verdict(torch::tensor(loss));
    bucketed.buckets.finish();
    EXPECT_FALSE(std::isfinite(bucketed.flat.gradients().norm().item<double>()));

    bucketed.buckets.begin();
    bucketed.buckets.add_verdict(torch::tensor(1.0));
    bucketed.buckets.finish();
    EXPECT_EQ(bucketed.flat.gradients().norm().item<double>(), 0);
  });
}

// ---- TrainedNet

OptimizerConfig adam() {
  OptimizerConfig config;
  config.beta1 = 0.8;
  config.beta2 = 0.95;
  return config;
}

void fill_gradients(FlatParameters& flat, const std::vector<at::Tensor>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    FlatParameters::view(flat.gradients(), flat.slots()[i]).copy_(values[i]);
  }
}

std::vector<at::Tensor> random_like(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> all;
  for (const at::Tensor& tensor : tensors) all.push_back(torch::randn_like(tensor));
  return all;
}

TEST(TrainedNet, a_hundred_steps_follow_torchs_adam) {
  torch::manual_seed(1);
  const auto net = discriminator();
  std::vector<at::Tensor> reference = copies(*net);
  for (at::Tensor& tensor : reference) tensor.requires_grad_(true);
  torch::optim::Adam optimizer(reference,
                               torch::optim::AdamOptions(2e-3).betas({0.8, 0.95}).eps(1e-8));
  comm::SelfComm comm;
  TrainedNet trained({.name = "D", .net = net, .averaged = false}, torch::kFloat, comm,
                     kBucketBytes);

  for (int step = 0; step < 100; ++step) {
    const auto gradients = random_like(reference);
    for (std::size_t i = 0; i < reference.size(); ++i) reference[i].mutable_grad() = gradients[i];
    optimizer.step();
    fill_gradients(trained.flat(), gradients);
    trained.update(adam(), 2e-3, 0.9);
  }

  const auto found = trained.weight_state();
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const at::Tensor expected = reference[i].detach();
    EXPECT_EQ(found[i].name, "D." + trained.flat().slots()[i].name);
    EXPECT_LE((found[i].value - expected).norm().item<double>(),
              1e-6 * expected.norm().item<double>());
  }
}

std::int64_t ulps_apart(float a, float b) {
  const auto order = [](float value) {
    const auto bits = static_cast<std::int64_t>(std::bit_cast<std::int32_t>(value));
    return bits < 0 ? std::int64_t{std::numeric_limits<std::int32_t>::min()} - bits : bits;
  };
  return std::abs(order(a) - order(b));
}

TEST(TrainedNet, one_flat_step_is_the_fused_step_tensor_by_tensor) {
  torch::manual_seed(2);
  const auto net = discriminator();
  auto weights = copies(*net);
  comm::SelfComm comm;
  TrainedNet trained({.name = "D", .net = net, .averaged = false}, torch::kFloat, comm,
                     kBucketBytes);
  std::vector<at::Tensor> first, second, steps;
  for (const at::Tensor& w : weights) {
    first.push_back(torch::zeros_like(w));
    second.push_back(torch::zeros_like(w));
    steps.push_back(torch::zeros({}, torch::kFloat));
  }

  for (int step = 1; step <= 3; ++step) {
    const auto gradients = random_like(weights);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      steps[i].add_(1);
      at::_fused_adam_({weights[i]}, {gradients[i]}, {first[i]}, {second[i]}, {}, {steps[i]}, 1e-3,
                       0.8, 0.95, 0.0, 1e-8, false, false);
    }
    fill_gradients(trained.flat(), gradients);
    trained.update(adam(), 1e-3, 0.9);
  }

  const auto found = trained.weight_state();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const at::Tensor mine = found[i].value.contiguous().view(-1);
    const at::Tensor theirs = weights[i].contiguous().view(-1);
    for (std::int64_t k = 0; k < mine.numel(); ++k) {
      ASSERT_LE(ulps_apart(mine.data_ptr<float>()[k], theirs.data_ptr<float>()[k]), 2);
    }
  }
}

TEST(TrainedNet, average_is_the_exponential_one_of_the_weights) {
  torch::manual_seed(3);
  comm::SelfComm comm;
  TrainedNet trained({.name = "D", .net = discriminator(), .averaged = true}, torch::kDouble, comm,
                     kBucketBytes);
  at::Tensor expected = trained.flat().weights().clone();
  for (const double decay : {0.0, 0.3, 0.9, 0.999}) {
    trained.flat().gradients().copy_(torch::randn_like(expected));
    trained.update(adam(), 1e-2, decay);
    expected = decay * expected + (1 - decay) * trained.flat().weights();
  }

  const auto average = trained.average_state();
  for (std::size_t i = 0; i < average.size(); ++i) {
    const at::Tensor part = FlatParameters::view(expected, trained.flat().slots()[i]);
    EXPECT_TRUE(average[i].value.allclose(part, 1e-12, 1e-14));
  }
}

TEST(TrainedNet, state_is_named_and_writable) {
  comm::SelfComm comm;
  TrainedNet trained({.name = "D", .net = discriminator(), .averaged = true}, torch::kFloat, comm,
                     kBucketBytes);
  const std::size_t slots = trained.flat().slots().size();
  const auto optimizer = trained.optimizer_state();

  ASSERT_EQ(optimizer.size(), 2 * slots + 1);
  EXPECT_EQ(optimizer.back().name, "D.steps");
  EXPECT_EQ(optimizer.back().value.scalar_type(), torch::kLong);
  EXPECT_EQ(trained.average_state().size(), slots);
  EXPECT_EQ(trained.weight_state()[0].name, "D.convolutions.0.weight");
  optimizer.back().value.fill_(41);
  trained.update(adam(), 0, 1);
  EXPECT_EQ(trained.optimizer_state().back().value.item<std::int64_t>(), 42);
}

TEST(AverageScope, computes_with_averages_and_restores_every_bit) {
  comm::SelfComm comm;
  Trainee trainee({.family = Family::kGan, .precision = Precision::kFloat32}, comm);
  static_cast<void>(record(trainee, 5));
  auto& nets = trainee.core().nets();
  ASSERT_TRUE(nets[0]->averaged());
  ASSERT_FALSE(nets[1]->averaged());
  const std::string before = trainee.bytes();
  const at::Tensor average = nets[0]->average_state()[0].value.clone();
  const at::Tensor critic = nets[1]->flat().weights().clone();
  ASSERT_FALSE(average.equal(nets[0]->weight_state()[0].value));
  {
    const AverageScope scope(nets);
    EXPECT_TRUE(nets[0]->weight_state()[0].value.equal(average));
    EXPECT_TRUE(nets[1]->flat().weights().equal(critic));
  }
  EXPECT_TRUE(trainee.bytes() == before);
}

// ---- schedules

TEST(Schedules, learning_rate_rises_stays_and_falls) {
  OptimizerConfig config;
  config.warmup_images = 100;
  config.decay = Decay::kLinear;
  config.decay_from = 0.5;
  config.final_factor = 0.2;
  const auto at = [&](double images) { return learning_rate_factor(config, images, 1000); };

  EXPECT_DOUBLE_EQ(at(0), 0);
  EXPECT_DOUBLE_EQ(at(50), 0.5);
  EXPECT_DOUBLE_EQ(at(100), 1);
  EXPECT_DOUBLE_EQ(at(500), 1);
  EXPECT_DOUBLE_EQ(at(750), 0.6);
  EXPECT_DOUBLE_EQ(at(1000), 0.2);
  EXPECT_DOUBLE_EQ(at(5000), 0.2);  // a longer run than planned
  config.decay = Decay::kCosine;
  EXPECT_DOUBLE_EQ(at(500), 1);
  EXPECT_NEAR(at(750), 0.6, 1e-12);
  EXPECT_NEAR(at(625), 0.2 + 0.8 * (2 + std::sqrt(2)) / 4, 1e-12);
  EXPECT_NEAR(at(1000), 0.2, 1e-12);
  config.decay = Decay::kConstant;
  EXPECT_DOUBLE_EQ(at(1000), 1);
  config.warmup_images = 0;
  EXPECT_DOUBLE_EQ(at(0), 1);
  config.decay = Decay::kLinear;
  config.decay_from = 1;
  EXPECT_DOUBLE_EQ(at(1000), 1);
  config.decay_from = 0;
  EXPECT_DOUBLE_EQ(at(500), 0.6);
}

TEST(Schedules, average_halves_in_its_half_life_and_ramps_up_first) {
  OptimizerConfig config;
  config.ema_half_life_images = 640;

  EXPECT_NEAR(std::pow(average_decay(config, 1e6, 64), 10), 0.5, 1e-12);
  EXPECT_NEAR(average_decay(config, 1e6, 640), 0.5, 1e-12);
  // Early the half life is 5 % of the images seen: 64 of 1280.
  EXPECT_NEAR(average_decay(config, 1280, 64), 0.5, 1e-12);
  EXPECT_LT(average_decay(config, 64, 64), 1e-5);  // the initial weights are forgotten at once
  EXPECT_EQ(average_decay(config, 0, 64), 0);
}

// ---- images

TEST(Images, all_bytes_survive_the_round_trip) {
  std::vector<std::uint8_t> bytes(256);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  for (const at::ScalarType type : {torch::kFloat, torch::kDouble}) {
    const at::Tensor images = to_images(bytes, {1, 16, 16}, type);
    const at::Tensor back = to_bytes(images);

    EXPECT_EQ(images.scalar_type(), type);
    EXPECT_EQ(images.min().item<double>(), -1);
    EXPECT_EQ(images.max().item<double>(), 1);
    EXPECT_NEAR(images.sum().item<double>(), 0, 1e-4);
    EXPECT_EQ(bytes_of(back), std::string(bytes.begin(), bytes.end()));
  }
}

TEST(Images, channels_and_pixels_keep_their_places) {
  std::vector<std::uint8_t> bytes(2 * 3 * 16 * 24);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 7);

  const at::Tensor images = to_images(bytes, {3, 16, 24}, torch::kFloat);

  EXPECT_EQ(images.sizes(), at::IntArrayRef({2, 3, 16, 24}));
  EXPECT_TRUE(images.is_contiguous(at::MemoryFormat::ChannelsLast));
  const auto byte = static_cast<double>(bytes[((1 * 16 + 5) * 24 + 9) * 3 + 2]);
  EXPECT_NEAR(images[1][2][5][9].item<double>(), byte / 127.5 - 1, 1e-6);
  EXPECT_EQ(bytes_of(to_bytes(images)), std::string(bytes.begin(), bytes.end()));
}

TEST(Images, values_beyond_the_range_are_clipped) {
  const at::Tensor wild = torch::tensor({-3.0F, 0.0F, 3.0F}).view({1, 1, 1, 3});
  EXPECT_TRUE(to_bytes(wild).view(-1).equal(torch::tensor({0, 128, 255}, torch::kByte)));
}

TEST(Images, flips_are_a_function_of_seed_epoch_and_id) {
  constexpr std::size_t kCount = 400;
  const networks::Geometry geometry{1, 16, 16};
  std::vector<std::uint8_t> bytes(kCount * 256, 0);
  for (std::size_t i = 0; i < kCount; ++i) bytes[i * 256] = 255;  // the top left corner
  std::vector<std::uint64_t> ids(kCount);
  std::iota(ids.begin(), ids.end(), 1000U);
  const auto flipped = [&](std::uint64_t seed, std::uint64_t epoch,
                           const std::vector<std::uint64_t>& of) {
    const std::vector<std::uint64_t> epochs(of.size(), epoch);
    const FlipKey key{.seed = seed, .epochs = epochs, .ids = of};
    const at::Tensor images =
        to_flipped_images({bytes.data(), of.size() * 256}, geometry, torch::kFloat, key);
    EXPECT_EQ((images == 1).sum().item<std::int64_t>(), static_cast<std::int64_t>(of.size()));
    std::vector<bool> flips;
    for (std::size_t i = 0; i < of.size(); ++i) {
      const at::Tensor row = images[static_cast<std::int64_t>(i)][0][0];
      EXPECT_EQ(row[0].item<float>(), -row[15].item<float>());
      flips.push_back(row[15].item<float>() == 1);
    }
    return flips;
  };

  const auto all = flipped(1, 0, ids);
  const auto count = std::count(all.begin(), all.end(), true);
  EXPECT_NEAR(static_cast<double>(count), kCount / 2.0, 50);  // five sigma
  // Another batch, another order: the same verdict for each id.
  const std::vector<std::uint64_t> some{1399, 1007, 1000};
  EXPECT_EQ(flipped(1, 0, some), (std::vector<bool>{all[399], all[7], all[0]}));
  EXPECT_NE(flipped(1, 1, ids), all);
  EXPECT_NE(flipped(2, 0, ids), all);
}

// ---- Engine

TEST(Engine, a_phase_trains_its_own_net_on_all_its_parameters) {
  comm::SelfComm comm;
  Trainee trainee({.family = Family::kGan}, comm);
  static_cast<void>(record(trainee, 4));
  auto& nets = trainee.core().nets();
  TrainedNet& g = *nets[0];
  TrainedNet& d = *nets[1];
  const auto weights = [](TrainedNet& net) { return net.flat().weights().clone(); };
  const at::Tensor g_before = weights(g);
  const at::Tensor d_before = weights(d);
  at::Tensor d_between, d_gradients;
  int phase = 0;

  static_cast<void>(trainee.step(4, [&](Stage stage) {
    if (stage != Stage::kForward || ++phase != 2) return;
    EXPECT_TRUE(weights(g).equal(g_before)) << "D's phase changed G";
    d_between = weights(d);
    d_gradients = d.flat().gradients().clone();
  }));

  EXPECT_EQ(phase, 2);
  EXPECT_FALSE(d_between.equal(d_before));
  EXPECT_TRUE(weights(d).equal(d_between)) << "G's phase changed D";
  EXPECT_TRUE(d.flat().gradients().equal(d_gradients)) << "G's phase gave D gradients";
  EXPECT_FALSE(weights(g).equal(g_before));
  for (const auto& net : nets) {
    for (const FlatParameters::Slot& slot : net->flat().slots()) {
      EXPECT_GT(FlatParameters::view(net->flat().gradients(), slot).norm().item<double>(), 0)
          << net->name() << " " << slot.name;
    }
  }
}

TEST(Engine, reports_norms_terms_flags_and_bytes) {
  for (const int world : {1, 3}) {
    comm::run_ranks(world, [&](comm::Comm& comm) {
      Trainee trainee({.family = Family::kGan}, comm);
      const auto batch = trainee.batch(1);  // no penalties
      const std::vector<double> flags{1, static_cast<double>(comm.rank())};
      batch->input.flags = flags;

      const StepReport report = trainee.core().step(batch->input, [](Stage) {});

      EXPECT_TRUE(report.updated);
      ASSERT_EQ(report.losses.size(), 4U);
      EXPECT_TRUE(report.losses[0].present);
      EXPECT_FALSE(report.losses[1].present) << "r1 is not due";
      EXPECT_EQ(report.flags, (std::vector<double>{1.0 * world, world * (world - 1) / 2.0}));
      std::int64_t bytes = 0;
      for (const auto& net : trainee.core().nets()) bytes += net->flat().weights().numel() * 8;
      EXPECT_EQ(report.reduced_bytes, world == 1 ? 0 : bytes);
      for (const NetValue& net : report.nets) {
        EXPECT_GT(net.gradient_norm, 0);
        EXPECT_GT(net.parameter_norm, 0);
        EXPECT_EQ(net.nonfinite_gradients + net.nonfinite_losses, 0);
      }
    });
  }
}

TEST(Engine, a_poisoned_weight_on_one_rank_changes_no_weight_on_any) {
  for (const Family family : {Family::kAutoencoder, Family::kVae, Family::kGan}) {
    SCOPED_TRACE(tests::name_of(family));
    comm::run_ranks(3, [&](comm::Comm& comm) {
      Trainee trainee({.family = family, .precision = Precision::kFloat32}, comm);
      static_cast<void>(record(trainee, 2));
      TrainedNet& victim = *trainee.core().nets().back();
      if (comm.rank() == 1) victim.flat().weights()[FlatParameters::kVerdict + 3] = std::nan("");
      const std::string before = trainee.bytes();

      const StepReport report = trainee.step(2);

      EXPECT_FALSE(report.updated);
      EXPECT_TRUE(trainee.bytes() == before);
      for (const NetValue& net : report.nets) {
        EXPECT_FALSE(std::isfinite(net.gradient_norm)) << net.net;
        EXPECT_GT(net.nonfinite_gradients, 0) << net.net;
        EXPECT_GT(net.nonfinite_losses, 0) << net.net;
      }
      // The same counts everywhere.
      std::vector<std::int64_t> counts;
      for (const NetValue& net : report.nets) {
        counts.push_back(net.nonfinite_gradients);
        counts.push_back(net.nonfinite_losses);
      }
      auto of_rank_0 = counts;
      comm.broadcast({of_rank_0.data(), of_rank_0.size(), comm::DType::kInt64}, 0);
      EXPECT_EQ(counts, of_rank_0);
    });
  }
}

// An objective of one weight vector whose loss the test writes.
class Scripted final : public objectives::Objective {
 public:
  using Loss = std::function<at::Tensor(const at::Tensor&)>;
  explicit Scripted(Loss loss) : loss_(std::move(loss)) {}
  [[nodiscard]] std::string_view family() const override { return "scripted"; }
  [[nodiscard]] const std::vector<objectives::NamedNet>& nets() const override { return nets_; }
  [[nodiscard]] const std::vector<objectives::Phase>& phases() const override { return phases_; }
  [[nodiscard]] objectives::Losses losses(const objectives::Phase&,
                                          const objectives::PhaseInput&) override {
    const at::Tensor total = loss_(net_->weight);
    return {.total = total, .terms = {{"loss", total.detach()}}};
  }
  [[nodiscard]] std::int64_t latent_dims() const override { return 1; }
  [[nodiscard]] bool samples() const override { return false; }
  [[nodiscard]] at::Tensor decode(const at::Tensor& z) override { return z; }

 private:
  struct Vector final : networks::Net {
    Vector() { weight = register_parameter("weight", torch::ones({1, 4})); }
    [[nodiscard]] at::Tensor forward(const at::Tensor& x) override { return x; }
    at::Tensor weight;
  };
  Loss loss_;
  std::shared_ptr<Vector> net_ = std::make_shared<Vector>();
  std::vector<objectives::NamedNet> nets_{{.name = "V", .net = net_, .averaged = true}};
  std::vector<objectives::Phase> phases_{{.net = "V", .image_stream = 0, .terms = {"loss"}}};
};

StepReport step_alone(Engine& engine, std::int64_t global_batch) {
  const at::Tensor images = torch::zeros({1});
  const MicroBatch batch{.position = {.global_batch = global_batch}, .images_NCHW = {&images, 1}};
  return engine.step({.micro_batches = {&batch, 1}, .images_total = 100}, [](Stage) {});
}

TEST(Engine, an_infinite_loss_with_finite_gradients_changes_no_weight) {
  const double infinity = std::numeric_limits<double>::infinity();
  comm::run_ranks(2, [&](comm::Comm& comm) {
    const double extra = comm.rank() == 1 ? infinity : 0;
    Scripted objective([&](const at::Tensor& w) { return w.square().sum() + extra; });
    Engine engine(objective, comm, {}, Precision::kFloat32);

    const StepReport report = step_alone(engine, 2);

    EXPECT_FALSE(report.updated);
    EXPECT_EQ(report.nets.at(0).net, "V");
    EXPECT_EQ(report.nets.at(0).nonfinite_losses, 1);
    EXPECT_EQ(report.nets.at(0).nonfinite_gradients, 1);
    EXPECT_EQ(engine.nets()[0]->weight_state()[0].value[0][0].item<float>(), 1);
  });
}

TEST(Engine, a_step_sums_what_the_ranks_computed) {
  comm::run_ranks(4, [](comm::Comm& comm) {
    Scripted objective([&](const at::Tensor& w) { return (comm.rank() + 1) * w.sum(); });
    Engine engine(objective, comm, {}, Precision::kFloat64);

    const StepReport report = step_alone(engine, 4);

    EXPECT_DOUBLE_EQ(report.losses.at(0).value, 10 * 4);
    EXPECT_DOUBLE_EQ(report.nets.at(0).gradient_norm, 20);
  });
}

TEST(Engine, micro_batches_of_an_image_mean_are_one_batch) {
  comm::SelfComm comm;
  for (const Family family : {Family::kAutoencoder, Family::kGan}) {  // no batch-global terms
    SCOPED_TRACE(tests::name_of(family));
    Trainee whole({.family = family, .batch = 12}, comm);
    Trainee parts({.family = family, .batch = 4, .accumulation = 3}, comm);

    EXPECT_EQ(tests::first_difference(record(parts, 20), record(whole, 20), 1e-9), "");
  }
}

TEST(Engine, a_missing_image_stream_is_a_defect_of_the_caller) {
  comm::SelfComm comm;
  Scripted objective([](const at::Tensor& w) { return w.sum(); });
  Engine engine(objective, comm, {}, Precision::kFloat32);
  const MicroBatch no_images{.position = {.global_batch = 1}};
  EXPECT_THROW(static_cast<void>(engine.step({}, [](Stage) {})), InternalError);
  EXPECT_THROW(static_cast<void>(engine.step({.micro_batches = {&no_images, 1}}, [](Stage) {})),
               InternalError);
  EXPECT_THROW(Engine(objective, comm, {}, Precision::kAuto), InternalError);
  EXPECT_THROW(engine.set_precision(Precision::kFloat64), InternalError);
}

TEST(Engine, bfloat16_stays_near_float32_and_keeps_float32_weights) {
  comm::SelfComm comm;
  Trainee exact({.family = Family::kGan, .precision = Precision::kFloat32}, comm);
  Trainee rough({.family = Family::kGan, .precision = Precision::kBFloat16}, comm);

  const StepReport expected = exact.step(0);
  const StepReport found = rough.step(0);

  EXPECT_EQ(tests::first_difference(found.losses, expected.losses, 2e-2), "");
  EXPECT_NE(tests::first_difference(found.losses, expected.losses, 1e-7), "") << "not bfloat16";
  EXPECT_EQ(rough.core().nets()[0]->flat().weights().scalar_type(), torch::kFloat);
}

TEST(ChoosePrecision, decides_together_and_restores_every_bit) {
  std::mutex mutex;
  std::vector<PrecisionTrial> trials;
  comm::run_ranks(2, [&](comm::Comm& comm) {
    Trainee trainee({.family = Family::kGan, .precision = Precision::kFloat32}, comm);
    static_cast<void>(record(trainee, 3));
    const std::string before = trainee.bytes();

    const PrecisionTrial trial = choose_precision(trainee.core(), comm, trainee.batch(3)->input);

    EXPECT_TRUE(trainee.bytes() == before);
    EXPECT_EQ(trainee.core().precision(), trial.chosen);
    EXPECT_EQ(trial.chosen == Precision::kBFloat16, trial.bfloat16_seconds < trial.float32_seconds);
    EXPECT_GT(trial.float32_seconds, 0);
    const std::lock_guard lock(mutex);
    trials.push_back(trial);
  });
  EXPECT_EQ(trials.at(0).float32_seconds, trials.at(1).float32_seconds);
  EXPECT_EQ(trials.at(0).chosen, trials.at(1).chosen);
}

}  // namespace
}  // namespace atelier::engine
