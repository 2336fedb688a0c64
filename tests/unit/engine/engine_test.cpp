// The step as a whole, schedules and images, each against an independent form of what it promises.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/base/error.h"
#include "launch/comm/self_comm.h"
#include "launch/comm/thread_comm.h"
#include "tests/unit/engine/scripted.h"
#include "tests/unit/engine/small_net.h"
#include "tests/unit/engine/trajectory.h"
#include "trainer/engine/images.h"

namespace atelier::engine {
namespace {

using objectives::Family;
using tests::bytes_of;
using tests::Recipe;
using tests::Scripted;
using tests::step_alone;
using tests::Trainee;

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

TEST(Images, are_those_of_plain_operations_bit_for_bit) {
  for (const std::int64_t channels : {1, 3}) {
    const at::Tensor bytes = torch::randint(0, 256, {5, 16, 24, channels}, torch::kByte);
    const at::Tensor flip = torch::tensor({1, 0, 0, 1, 1}, torch::kBool).view({5, 1, 1, 1});
    for (const at::ScalarType type : {torch::kFloat, torch::kDouble}) {
      const auto plain = [&](const at::Tensor& turned) {
        return turned.to(type).div_(127.5).sub_(1.0).permute({0, 3, 1, 2});
      };
      EXPECT_TRUE(to_images(bytes, {}, type).equal(plain(bytes)));
      EXPECT_TRUE(
          to_images(bytes, flip, type).equal(plain(torch::where(flip, bytes.flip({2}), bytes))));
      EXPECT_TRUE(to_images(bytes, flip, type).is_contiguous(at::MemoryFormat::ChannelsLast));
    }
  }
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

      EXPECT_TRUE(report.updated());
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
      }
      EXPECT_TRUE(report.non_finite.empty());
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

      EXPECT_FALSE(report.updated());
      EXPECT_TRUE(trainee.bytes() == before);
      for (const NetValue& net : report.nets) {
        EXPECT_FALSE(std::isfinite(net.gradient_norm)) << net.net;
      }
      ASSERT_EQ(report.non_finite.size(), report.nets.size());
      for (const NonFinite& found : report.non_finite) {  // the same verdict on every rank
        EXPECT_EQ(found.suspect, Suspect::kWeights);
        EXPECT_EQ(found.rank, 1);
        EXPECT_EQ(found.values, 1);
      }
    });
  }
}

Recipe with_batch_norm(Family family) {
  Recipe recipe{.family = family, .precision = Precision::kFloat32};
  recipe.style.normalization = networks::Normalization::kBatch;
  return recipe;
}

TEST(Engine, running_statistics_forget_a_step_that_was_not_finite) {
  for (const Family family : {Family::kAutoencoder, Family::kGan}) {
    SCOPED_TRACE(tests::name_of(family));
    comm::run_ranks(2, [&](comm::Comm& comm) {
      Trainee trainee(with_batch_norm(family), comm);
      static_cast<void>(record(trainee, 2));
      for (const auto& net : trainee.core().nets()) {
        ASSERT_GT(net->flat().frozen().numel(), 0);
        if (comm.rank() == 1) net->flat().weights()[FlatParameters::kVerdict] = std::nan("");
      }
      const std::string before = trainee.bytes();

      const StepReport report = trainee.step(2);

      EXPECT_FALSE(report.updated());
      EXPECT_TRUE(trainee.bytes() == before);
    });
  }
}

TEST(Engine, local_batch_statistics_differ_from_those_of_all_ranks_and_leave_replicas) {
  std::mutex mutex;
  std::map<BatchStatistics, std::vector<std::string>> bytes;
  for (const BatchStatistics statistics : {BatchStatistics::kSync, BatchStatistics::kLocal}) {
    comm::run_ranks(3, [&](comm::Comm& comm) {
      Recipe recipe = with_batch_norm(Family::kAutoencoder);
      recipe.statistics = statistics;
      Trainee trainee(recipe, comm);
      static_cast<void>(record(trainee, 3));
      const std::lock_guard lock(mutex);
      bytes[statistics].push_back(trainee.bytes());
    });
    for (const std::string& one : bytes[statistics]) EXPECT_TRUE(one == bytes[statistics][0]);
  }
  EXPECT_FALSE(bytes[BatchStatistics::kSync][0] == bytes[BatchStatistics::kLocal][0]);
}

TEST(Engine, an_average_has_the_running_statistics_and_evaluation_uses_them) {
  comm::SelfComm comm;
  Trainee trainee(with_batch_norm(Family::kAutoencoder), comm);
  static_cast<void>(record(trainee, 3));
  auto& nets = trainee.core().nets();
  const at::Tensor running = nets[0]->flat().frozen().clone();
  const torch::NoGradGuard no_grad;
  const AverageScope averages(nets);
  EXPECT_TRUE(at::equal(nets[0]->flat().frozen(), running));
  const at::Tensor images = torch::rand({4, 3, 16, 16});
  networks::Net& net = *trainee.core().objective().nets()[0].net;
  EXPECT_TRUE(net.forward(images).narrow(0, 0, 1).allclose(net.forward(images.narrow(0, 0, 1)),
                                                           1e-4, 1e-5));
  EXPECT_TRUE(at::equal(nets[0]->flat().frozen(), running));
}

TEST(Engine, an_infinite_loss_with_finite_gradients_changes_no_weight) {
  const double infinity = std::numeric_limits<double>::infinity();
  comm::run_ranks(2, [&](comm::Comm& comm) {
    const double extra = comm.rank() == 1 ? infinity : 0;
    Scripted objective([&](const at::Tensor& w) { return w.square().sum() + extra; });
    Engine engine(objective, comm, {}, Precision::kFloat32);

    const StepReport report = step_alone(engine, 2);

    EXPECT_FALSE(report.updated());
    EXPECT_EQ(report.nets.at(0).net, "V");
    EXPECT_EQ(report.non_finite.at(0).suspect, Suspect::kLoss);
    EXPECT_EQ(report.non_finite.at(0).rank, 1);
    EXPECT_EQ(engine.nets()[0]->weight_state()[0].value[0][0].item<float>(), 1);
  });
}

// What every rank of 3 says when rank 1 alone goes wrong as `spoil` makes it.
using Spoil = std::function<void(Trainee::Batch&, Trainee&)>;
std::vector<std::string> explanations(Family family, const Spoil& spoil) {
  std::mutex mutex;
  std::vector<std::string> all;
  comm::run_ranks(3, [&](comm::Comm& comm) {
    Trainee trainee({.family = family, .precision = Precision::kFloat32, .accumulation = 2}, comm);
    const auto batch = trainee.batch(0);
    if (comm.rank() == 1) spoil(*batch, trainee);

    const StepReport report = trainee.core().step(batch->input, [](Stage) {});

    EXPECT_FALSE(report.updated());
    const std::lock_guard lock(mutex);
    for (const NonFinite& found : report.non_finite) all.push_back(describe(found));
  });
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

TEST(Engine, ranks_name_together_where_a_value_that_is_not_finite_came_from) {
  const double nan = std::nan("");
  // VAE: its loss holds a collective, which all ranks must enter whatever they find.
  EXPECT_EQ(
      explanations(Family::kVae, [&](Trainee::Batch& batch,
                                     Trainee&) { batch.images_NCHW[1][0][0][0][0].fill_(nan); }),
      (std::vector<std::string>{"net VAE: the images of micro-batch 1 held 16 values that "
                                "are not finite on rank 1"}));
  EXPECT_EQ(explanations(Family::kVae,
                         [&](Trainee::Batch&, Trainee& trainee) {
                           trainee.core().nets()[0]->weight_state()[2].value[0][0][0][2] = nan;
                         }),
            (std::vector<std::string>{
                "net VAE: weight VAE.encoder.convolutions.1.weight held 1 value that is not finite "
                "on rank 1"}));
}

TEST(Engine, losses_and_gradients_that_are_not_finite_are_told_apart) {
  const double infinity = std::numeric_limits<double>::infinity();
  const auto explain = [](const std::function<at::Tensor(const at::Tensor&, int)>& loss) {
    std::string said;
    comm::run_ranks(3, [&](comm::Comm& comm) {
      Scripted objective([&](const at::Tensor& w) { return loss(w, comm.rank()); });
      Engine engine(objective, comm, {}, Precision::kFloat32);
      const StepReport report = step_alone(engine, 3);
      ASSERT_EQ(report.non_finite.size(), 1U);
      if (comm.rank() == 0) said = describe(report.non_finite[0]);
    });
    return said;
  };
  EXPECT_EQ(explain([&](const at::Tensor& w, int rank) {
              return w.sum() + (rank == 2 ? infinity : 0.0);
            }),
            "net V: loss term loss held 1 value that is not finite on rank 2");
  EXPECT_EQ(explain([&](const at::Tensor& w, int rank) {  // the root of 0 has no slope
              return rank == 1 ? (w - 1).square().sum().sqrt() : w.sum();
            }),
            "net V: the gradient of weight held 4 values that are not finite on rank 1");
  int calls = 0;
  comm::SelfComm comm;
  Scripted once([&](const at::Tensor& w) { return w.sum() * (calls++ == 0 ? infinity : 1.0); });
  Engine engine(once, comm, {}, Precision::kFloat32);
  EXPECT_EQ(describe(step_alone(engine, 1).non_finite.at(0)),
            "net V: a value was not finite, which a second computation did not give again");
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

// What the nets compute with, beside their float32 weights.
void expect_rounded(Trainee& trainee) {
  for (const auto& net : trainee.core().nets()) {
    const auto weights = net->weight_state();
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const at::Tensor& weight = weights[i].value;
      const at::Tensor& seen = net->flat().parameter(i);
      const bool matrix = weight.dim() >= 2;
      ASSERT_EQ(seen.scalar_type(), matrix ? torch::kBFloat16 : torch::kFloat) << weights[i].name;
      EXPECT_TRUE(at::equal(seen, weight.to(seen.scalar_type()))) << weights[i].name;
      EXPECT_TRUE(weight.dim() != 4 || seen.is_contiguous(at::MemoryFormat::ChannelsLast));
    }
  }
}

TEST(Engine, bfloat16_nets_see_their_weights_rounded_whoever_changed_them) {
  comm::SelfComm comm;
  Recipe recipe = with_batch_norm(Family::kGan);
  recipe.precision = Precision::kBFloat16;
  Trainee trainee(recipe, comm);
  expect_rounded(trainee);
  const TrainedNet::Snapshot start = trainee.core().nets()[0]->snapshot();
  for (std::int64_t step = 0; step < 3; ++step) {
    static_cast<void>(trainee.step(step));
    expect_rounded(trainee);
  }
  {
    const AverageScope averages(trainee.core().nets());
    for (const auto& net : trainee.core().nets()) {
      EXPECT_EQ(net->flat().parameter(0).scalar_type(), torch::kFloat);
    }
  }
  expect_rounded(trainee);
  trainee.core().nets()[0]->restore(start);
  expect_rounded(trainee);
  trainee.core().set_precision(Precision::kFloat32);
  EXPECT_EQ(trainee.core().nets()[0]->flat().parameter(0).scalar_type(), torch::kFloat);
  static_cast<void>(trainee.step(3));
}

TEST(Engine, sums_during_the_backward_change_no_bit) {
  std::mutex mutex;
  std::vector<std::string> ends;
  for (const Overlap overlap : {Overlap::kOff, Overlap::kOn}) {
    comm::run_ranks(3, [&](comm::Comm& comm) {
      // Batch statistics over ranks: their own sums stand between those of the gradients.
      Trainee trainee({.family = Family::kGan,
                       .precision = Precision::kFloat32,
                       .accumulation = 2,
                       .style = {.normalization = networks::Normalization::kBatch},
                       .overlap = overlap},
                      comm);
      EXPECT_EQ(trainee.core().bucket_plan().overlap, overlap == Overlap::kOn);
      static_cast<void>(record(trainee, 6));
      const std::lock_guard lock(mutex);
      ends.push_back(trainee.bytes());
    });
  }
  for (const std::string& end : ends) EXPECT_TRUE(end == ends.front());
}

}  // namespace
}  // namespace atelier::engine
