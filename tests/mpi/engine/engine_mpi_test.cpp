// World-size independence with real processes: the ranks mpirun started train together, and rank 0
// also alone; every loss of both must agree.
#include <gtest/gtest.h>

#include "launch/comm/mpi_comm.h"
#include "launch/comm/self_comm.h"
#include "tests/support/mpi_main.h"
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

}  // namespace
}  // namespace atelier::tests
