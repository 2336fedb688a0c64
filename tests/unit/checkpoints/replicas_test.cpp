#include "checkpoints/replicas.h"

#include <cstring>

#include <gtest/gtest.h>

#include "launch/comm/thread_comm.h"

namespace atelier::checkpoints {
namespace {

// What one rank holds: three parts of odd sizes, one of them empty.
struct State {
  std::vector<std::vector<std::byte>> memory{
      std::vector<std::byte>(1000, std::byte{1}), {}, std::vector<std::byte>(33, std::byte{2})};
  [[nodiscard]] std::vector<ReplicaPart> parts() {
    return {{"weights", memory[0]}, {"nothing", memory[1]}, {"moments", memory[2]}};
  }
  void flip(std::size_t part, std::size_t byte) { memory[part][byte] ^= std::byte{1}; }
};

TEST(Replicas, equal_ones_are_equal) {
  for (const int world : {1, 2, 4}) {
    comm::run_ranks(world, [](comm::Comm& comm) {
      State state;
      const ReplicaVerdict verdict = compare_replicas(comm, state.parts());
      EXPECT_TRUE(verdict.equal());
      EXPECT_EQ(verdict.healthy, 0);
      EXPECT_EQ(describe(verdict), "all ranks hold the same state");
    });
  }
}

TEST(Replicas, one_flipped_bit_is_found_and_healed_by_the_majority) {
  for (int victim = 0; victim < 3; ++victim) {
    comm::run_ranks(3, [&](comm::Comm& comm) {
      State state;
      if (comm.rank() == victim) state.flip(2, 32);

      const ReplicaVerdict verdict = compare_replicas(comm, state.parts());

      EXPECT_EQ(verdict.odd, std::vector<int>{victim});
      EXPECT_EQ(verdict.healthy, victim == 0 ? 1 : 0);
      EXPECT_EQ(describe(verdict),
                "rank " + std::to_string(victim) + " differs from the others, first in moments");

      heal_replicas(comm, state.parts(), verdict);
      EXPECT_TRUE(compare_replicas(comm, state.parts()).equal());
      EXPECT_EQ(state.memory, State{}.memory);
    });
  }
}

TEST(Replicas, without_a_majority_nobody_is_healthy) {
  comm::run_ranks(2, [](comm::Comm& comm) {
    State state;
    if (comm.rank() == 1) state.flip(0, 7);
    const ReplicaVerdict verdict = compare_replicas(comm, state.parts());
    EXPECT_EQ(verdict.healthy, -1);
    EXPECT_EQ(describe(verdict), "rank 1 differs from rank 0, first in weights");
  });
  comm::run_ranks(4, [](comm::Comm& comm) {  // two against two
    State state;
    if (comm.rank() >= 2) state.flip(0, 7);
    const ReplicaVerdict verdict = compare_replicas(comm, state.parts());
    EXPECT_EQ(verdict.healthy, -1);
    EXPECT_EQ(verdict.odd, (std::vector<int>{2, 3}));
  });
}

}  // namespace
}  // namespace atelier::checkpoints
