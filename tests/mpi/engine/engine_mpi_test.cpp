// World-size independence with real processes: the ranks mpirun started train together, and rank 0
// also alone; every loss of both must agree.
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "launch/comm/mpi_comm.h"
#include "launch/comm/self_comm.h"
#include "tests/support/mpi_main.h"
#include "tests/unit/engine/scripted.h"
#include "tests/unit/engine/trajectory.h"

namespace atelier::tests {
namespace {

using objectives::Family;

class MpiWorld : public ::testing::TestWithParam<Family> {};

TEST_P(MpiWorld, trains_as_one_rank_does) {
  constexpr std::int64_t kSteps = 50;
  const Recipe recipe{.family = GetParam()};
  comm::MpiComm comm(mpi_session(), {});
  Trainee together(recipe, comm);

  const auto found = record(together, kSteps);
  const bool first = comm.rank() == 0;
  comm.close();

  if (!first) return;
  comm::SelfComm self;
  Trainee alone(recipe, self);
  EXPECT_EQ(first_difference(found, record(alone, kSteps), 1e-9), "");
}

TEST_P(MpiWorld, all_ranks_hold_the_same_bytes) {
  const Recipe recipe{.family = GetParam(), .precision = engine::Precision::kFloat32};
  comm::MpiComm comm(mpi_session(), {});
  Trainee trainee(recipe, comm);
  static_cast<void>(record(trainee, 20));

  std::string mine = trainee.bytes();
  std::string first = mine;
  comm.broadcast({first.data(), first.size(), comm::DType::kUInt8}, 0);
  comm.close();

  EXPECT_TRUE(mine == first);
}

INSTANTIATE_TEST_SUITE_P(Families, MpiWorld,
                         ::testing::Values(Family::kAutoencoder, Family::kVae, Family::kGan),
                         [](const auto& test) { return name_of(test.param); });

// What is not finite on the last rank, every rank names, in the step in which it happened.
class NotFinite : public ::testing::Test {
 protected:
  void expect(const engine::StepReport& report, engine::Suspect suspect) const {
    EXPECT_FALSE(report.updated());
    ASSERT_EQ(report.non_finite.size(), 1U);
    EXPECT_EQ(report.non_finite[0].suspect, suspect);
    EXPECT_EQ(report.non_finite[0].rank, comm_.world() - 1);
  }
  [[nodiscard]] bool sick() const { return comm_.rank() == comm_.world() - 1; }
  void TearDown() override { comm_.close(); }

  comm::MpiComm comm_{mpi_session(), {}};
};

TEST_F(NotFinite, an_image) {
  Trainee trainee({.family = Family::kVae, .precision = engine::Precision::kFloat32}, comm_);
  static_cast<void>(trainee.step(0));
  const auto batch = trainee.batch(1);
  if (sick()) batch->images_NCHW[0][0][0][0][0].fill_(std::nan(""));
  expect(trainee.core().step(batch->input, [](engine::Stage) {}), engine::Suspect::kImages);
}

TEST_F(NotFinite, a_weight) {
  Trainee trainee({.family = Family::kVae, .precision = engine::Precision::kFloat32}, comm_);
  static_cast<void>(trainee.step(0));
  if (sick()) trainee.core().nets()[0]->weight_state()[2].value[0][0][0][2] = std::nan("");
  expect(trainee.step(1), engine::Suspect::kWeights);
}

TEST_F(NotFinite, a_loss) {
  const double infinity = std::numeric_limits<double>::infinity();
  Scripted objective([&](const at::Tensor& w) { return w.sum() + (sick() ? infinity : 0.0); });
  engine::Engine engine(objective, comm_, {}, engine::Precision::kFloat32);
  expect(step_alone(engine, comm_.world()), engine::Suspect::kLoss);
}

TEST_F(NotFinite, a_gradient) {
  Scripted objective([&](const at::Tensor& w) {  // the root of 0 has no slope
    return sick() ? (w - 1).square().sum().sqrt() : w.sum();
  });
  engine::Engine engine(objective, comm_, {}, engine::Precision::kFloat32);
  expect(step_alone(engine, comm_.world()), engine::Suspect::kGradient);
}

}  // namespace
}  // namespace atelier::tests
