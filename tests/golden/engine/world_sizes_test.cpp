// World-size independence, the first promise of the design: with the same global batch, 1, 2, 3 and
// 4 ranks (as threads) train alike, and a rerun gives the same bytes.
#include <mutex>

#include <gtest/gtest.h>

#include "launch/comm/self_comm.h"
#include "launch/comm/thread_comm.h"
#include "tests/unit/engine/trajectory.h"

namespace atelier::tests {
namespace {

using networks::Normalization;
using objectives::Family;

struct Case {
  std::string name;
  Recipe recipe;
};

class WorldSizes : public ::testing::TestWithParam<Case> {
 protected:
  [[nodiscard]] Recipe recipe(engine::Precision precision) const {
    Recipe recipe = GetParam().recipe;
    recipe.precision = precision;
    return recipe;
  }
};

TEST_P(WorldSizes, every_loss_of_200_double_precision_steps_agrees) {
  constexpr std::int64_t kSteps = 200;
  const Recipe recipe = this->recipe(engine::Precision::kFloat64);
  comm::SelfComm alone;
  Trainee trainee(recipe, alone);
  const auto expected = record(trainee, kSteps);
  EXPECT_LT(expected.at(expected.size() - 2).value, 1e4);  // it trains, and does not explode

  for (const int world : {2, 3, 4}) {
    comm::run_ranks(world, [&](comm::Comm& comm) {
      Trainee mine(recipe, comm);
      const auto found = record(mine, kSteps);
      EXPECT_EQ(first_difference(found, expected, 1e-9), "") << world << " ranks";
    });
  }
}

// What one step from an identical state gives: losses, and the summed gradient of each net. The
// learning rate is 0, so that the phases of the step all see that state.
struct Outcome {
  std::vector<engine::LossValue> losses;
  std::vector<at::Tensor> gradients;
};

Outcome step_from(const std::vector<engine::TrainedNet::Snapshot>& state, Recipe recipe,
                  comm::Comm& comm) {
  recipe.learning_rate = 0;
  Trainee trainee(recipe, comm);
  auto& nets = trainee.core().nets();
  for (std::size_t i = 0; i < nets.size(); ++i) nets[i]->restore(state[i]);
  Outcome outcome{.losses = trainee.step(20).losses, .gradients = {}};  // a step with penalties
  for (const auto& net : nets) outcome.gradients.push_back(net->flat().gradients().clone());
  return outcome;
}

TEST_P(WorldSizes, one_single_precision_step_from_one_state_agrees) {
  const Recipe recipe = this->recipe(engine::Precision::kFloat32);
  comm::SelfComm alone;
  Trainee trainee(recipe, alone);
  static_cast<void>(record(trainee, 20));
  std::vector<engine::TrainedNet::Snapshot> state;
  for (const auto& net : trainee.core().nets()) state.push_back(net->snapshot());
  const Outcome expected = step_from(state, recipe, alone);

  for (const int world : {2, 3, 4}) {
    comm::run_ranks(world, [&](comm::Comm& comm) {
      const Outcome found = step_from(state, recipe, comm);

      EXPECT_EQ(first_difference(found.losses, expected.losses, 1e-5), "") << world << " ranks";
      for (std::size_t i = 0; i < expected.gradients.size(); ++i) {
        const double size = expected.gradients[i].norm().item<double>();
        ASSERT_GT(size, 0);
        EXPECT_LE((found.gradients[i] - expected.gradients[i]).norm().item<double>(), 1e-4 * size)
            << world << " ranks, net " << i;
      }
    });
  }
}

TEST_P(WorldSizes, a_rank_without_images_changes_nothing) {
  Recipe recipe = this->recipe(engine::Precision::kFloat64);
  recipe.batch = 3;
  comm::SelfComm alone;
  Trainee trainee(recipe, alone);
  const auto expected = record(trainee, 9);

  comm::run_ranks(4, [&](comm::Comm& comm) {
    Trainee mine(recipe, comm);
    EXPECT_EQ(first_difference(record(mine, 9), expected, 1e-9), "");
  });
}

TEST_P(WorldSizes, reruns_are_byte_equal_and_ranks_are_replicas) {
  for (const int world : {1, 3}) {
    std::mutex mutex;
    std::vector<std::string> finals;
    for (int run = 0; run < 2; ++run) {
      comm::run_ranks(world, [&](comm::Comm& comm) {
        Trainee mine(recipe(engine::Precision::kFloat32), comm);
        static_cast<void>(record(mine, 20));
        const std::lock_guard lock(mutex);
        finals.push_back(mine.bytes());
      });
    }
    for (const std::string& bytes : finals) EXPECT_TRUE(bytes == finals.front()) << world;
  }
}

std::vector<Case> cases() {
  const networks::Style batch_norm{.architecture = {}, .normalization = Normalization::kBatch};
  const networks::Style dcgan{.architecture = networks::Architecture::kDcgan,
                              .normalization = Normalization::kBatch};
  std::vector<Case> all;
  for (const Family family : {Family::kAutoencoder, Family::kVae, Family::kGan}) {
    all.push_back({name_of(family), {.family = family}});
    all.push_back({name_of(family) + "_batch_norm", {.family = family, .style = batch_norm}});
  }
  all.push_back(
      {"DCGAN",
       {.family = Family::kGan, .style = dcgan, .gan_loss = objectives::GanLoss::kNonSaturating}});
  for (std::size_t i = 0, once = all.size(); i < once; ++i) {
    Case twice = all[i];
    twice.name += "_accumulating";
    twice.recipe.accumulation = 2;
    all.push_back(twice);
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Families, WorldSizes, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace atelier::tests
