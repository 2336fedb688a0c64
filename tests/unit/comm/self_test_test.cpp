#include "launch/comm/self_test.h"

#include <gtest/gtest.h>

#include "launch/base/error.h"
#include "launch/comm/thread_comm.h"
#include "tests/unit/comm/corrupting_comm.h"

namespace atelier::comm {
namespace {

TEST(SelfTest, passes_and_measures) {
  for (const int world : {1, 8}) {
    run_ranks(world, [](Comm& comm) {
      const SelfTest result = self_test(comm);
      EXPECT_GT(result.latency_seconds, 0);
      EXPECT_GT(result.bytes_per_second, 0);
      EXPECT_EQ(result.large_bytes, std::size_t{4} << 20U);
    });
  }
}

TEST(SelfTest, a_wrong_sum_on_one_rank_is_told_on_all) {
  run_ranks(3, [](Comm& comm) {
    CorruptingComm broken(comm, 2);
    try {
      static_cast<void>(self_test(broken));
      FAIL() << "nothing was noticed on rank " << comm.rank();
    } catch (const DeviceError& error) {
      EXPECT_NE(std::string(error.what()).find("Rank 2 of 3 could not sum 4099 known values"),
                std::string::npos)
          << error.what();
    }
  });
}

}  // namespace
}  // namespace atelier::comm
