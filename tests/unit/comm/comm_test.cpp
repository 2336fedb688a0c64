// The contract on the backends that need no launcher, and what only they promise.
#include <atomic>
#include <limits>
#include <stdexcept>
#include <vector>

#include <gmock/gmock.h>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/make_comm.h"
#include "launch/comm/reduce.h"
#include "launch/comm/self_comm.h"
#include "launch/comm/thread_comm.h"
#include "tests/unit/comm/comm_contract.h"

namespace atelier::comm {
namespace {

using testing::HasSubstr;

class SelfRank final : public Ranks {
 public:
  int world() const override { return 1; }
  void run(const Body& body, bool /*breaks*/) override {
    SelfComm comm;
    SelfComm agree;
    body(comm, agree);
  }
};

class ThreadRanks final : public Ranks {
 public:
  explicit ThreadRanks(int world) : world_(world) {}
  int world() const override { return world_; }
  void run(const Body& body, bool /*breaks*/) override {
    ThreadGroup group(world_);
    run_ranks(world_, [&](Comm& agree) { body(group.comm(agree.rank()), agree); });
  }

 private:
  int world_;
};

std::vector<Backing> backings() {
  std::vector<Backing> all{{"self", [] { return std::make_unique<SelfRank>(); }}};
  for (int world = 1; world <= 4; ++world) {
    all.push_back(
        {text("threads_", world), [world] { return std::make_unique<ThreadRanks>(world); }});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Local, CommContract, testing::ValuesIn(backings()), backing_name);

TEST(RunRanks, the_first_exception_reaches_the_caller) {
  std::atomic<int> told = 0;

  const auto job = [&] {
    run_ranks(4, [&](Comm& comm) {
      if (comm.rank() == 2) {
        throw std::out_of_range("shard 7");
      }
      const std::string error = comm_error([&] { comm.barrier(); });
      EXPECT_THAT(error, HasSubstr("Rank 2 failed: shard 7"));
      ++told;
      throw CommError(error);
    });
  };

  EXPECT_THROW(job(), std::out_of_range);
  EXPECT_EQ(told, 3);
}

TEST(RunRanks, a_rank_that_ends_early_is_named_at_once) {
  const auto start = std::chrono::steady_clock::now();

  run_ranks(3, [](Comm& comm) {
    if (comm.rank() != 1) {
      EXPECT_THAT(comm_error([&] { comm.barrier(); }), HasSubstr("rank 1 ended without this call"));
    }
  });

  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(RunRanks, abort_wakes_the_other_ranks) {
  run_ranks(2, [](Comm& comm) {
    if (comm.rank() == 0) {
      comm.abort("diverged", 77);
    } else {
      EXPECT_THAT(comm_error([&] { comm.barrier(); }),
                  HasSubstr("Rank 0 failed: diverged (exit code 77)"));
    }
  });
}

TEST(SelfComm, abort_ends_the_process_with_the_code_and_reason) {
  SelfComm comm;

  EXPECT_EXIT(comm.abort("disk full", 74), testing::ExitedWithCode(74), "disk full");
}

TEST(Reduce, integers_wrap_and_bfloat16_rounds_to_even_once) {
  const std::vector<std::int64_t> big{std::numeric_limits<std::int64_t>::max()};
  const std::vector<std::int64_t> one{1};
  std::int64_t wrapped = 0;
  const std::vector<const std::byte*> integers{reinterpret_cast<const std::byte*>(big.data()),
                                               reinterpret_cast<const std::byte*>(one.data())};
  // 1 + 2^-8 + 2^-8: rounding after each addition would give 1, rounding once 1 + 2^-7.
  const std::vector<std::uint16_t> bf16{0x3f80, 0x3b80, 0x3b80};
  std::uint16_t rounded = 0;
  std::vector<const std::byte*> terms;
  for (const std::uint16_t& term : bf16) {
    terms.push_back(reinterpret_cast<const std::byte*>(&term));
  }

  reduce_into(&wrapped, integers, 1, DType::kInt64, ReduceOp::kSum);
  reduce_into(&rounded, terms, 1, DType::kBFloat16, ReduceOp::kSum);

  EXPECT_EQ(wrapped, std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(rounded, 0x3f81);
}

TEST(MakeComm, a_process_started_alone_works_alone) {
  const MpiSession session(false);

  const auto comm = make_comm(session);

  EXPECT_EQ(comm->backend(), "self");
  EXPECT_EQ(comm->world(), 1);
  EXPECT_THROW((void)make_comm(session, {.backend = Backend::kMpi}), RefusedError);
}

TEST(MakeComm, backends_have_names) {
  EXPECT_EQ(parse_backend("auto"), Backend::kAuto);
  EXPECT_EQ(parse_backend("mpi"), Backend::kMpi);
  EXPECT_THROW((void)parse_backend("gloo"), ConfigError);
}

TEST(StartedByMpirun, launchers_are_known_by_their_variables) {
  const auto environment_with = [](std::string_view name) {
    return [name](const char* asked) { return asked == name ? "2" : nullptr; };
  };

  EXPECT_TRUE(started_by_mpirun(environment_with("OMPI_COMM_WORLD_SIZE")));
  EXPECT_TRUE(started_by_mpirun(environment_with("PMI_SIZE")));
  EXPECT_TRUE(started_by_mpirun(environment_with("PMIX_RANK")));
  EXPECT_FALSE(started_by_mpirun(environment_with("PATH")));
}

}  // namespace
}  // namespace atelier::comm
