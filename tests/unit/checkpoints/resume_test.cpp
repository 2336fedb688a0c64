#include "checkpoints/resume.h"

#include <array>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/base/error.h"
#include "launch/comm/thread_comm.h"
#include "tests/support/faulty_file_system.h"
#include "tests/unit/checkpoints/sample_state.h"
#include "tests/unit/checkpoints/simulated_disk.h"

namespace atelier::checkpoints {
namespace {

using ::testing::HasSubstr;

constexpr std::array<int, 4> kWorlds{1, 2, 3, 4};

class ResumeTest : public ::testing::Test {
 protected:
  [[nodiscard]] Store store() { return {files_, log_, {folder_}}; }
  void save(std::int64_t step) { ASSERT_TRUE(store().save(SampleState(step).contents()).ok); }
  void damage(std::int64_t step) { files_.remove_all(folder_ / step_name(step) / "state.json"); }
  std::int64_t resumed_step(std::string_view word) {
    Store from = store();
    const Resume resume = decide_resume(from, parse_resume(word));
    return resume.loaded ? resume.loaded->step : -1;
  }

  const Path folder_ = "/run/checkpoints";
  test::SimulatedDisk files_;
  NullLog log_;
};

TEST_F(ResumeTest, words_and_paths_are_told_apart) {
  EXPECT_EQ(parse_resume("auto").mode, ResumeMode::kAuto);
  EXPECT_EQ(parse_resume("must").mode, ResumeMode::kMust);
  EXPECT_EQ(parse_resume("never").mode, ResumeMode::kNever);
  EXPECT_EQ(parse_resume("a/b").mode, ResumeMode::kPath);
  EXPECT_EQ(parse_resume("a/b").path, "a/b");
  EXPECT_THROW(static_cast<void>(parse_resume("")), ConfigError);
}

TEST_F(ResumeTest, without_checkpoints_auto_starts_fresh_and_must_refuses) {
  EXPECT_EQ(resumed_step("auto"), -1);
  EXPECT_EQ(resumed_step("never"), -1);
  EXPECT_THROW(resumed_step("must"), ConfigError);
}

TEST_F(ResumeTest, with_checkpoints_auto_and_must_take_the_newest) {
  save(1);
  save(2);

  EXPECT_EQ(resumed_step("auto"), 2);
  EXPECT_EQ(resumed_step("must"), 2);
  EXPECT_EQ(resumed_step("never"), -1);
  EXPECT_EQ(resumed_step((folder_ / step_name(1)).string()), 1);
}

TEST_F(ResumeTest, path_that_is_no_checkpoint_or_a_bad_one_is_an_error) {
  save(1);
  damage(1);

  EXPECT_THROW(resumed_step("/nowhere"), ConfigError);
  EXPECT_THROW(resumed_step(folder_.string()), ConfigError);
  EXPECT_THROW(resumed_step((folder_ / step_name(1)).string()), CheckpointError);
}

TEST_F(ResumeTest, when_none_verifies_auto_stops_with_all_reasons_each_time) {
  save(1);
  save(2);
  damage(1);
  damage(2);

  for (int attempt = 0; attempt < 2; ++attempt) {
    try {
      resumed_step("auto");
      FAIL() << "a run started over in silence";
    } catch (const CheckpointError& problem) {
      EXPECT_THAT(problem.what(), HasSubstr("step 1: "));
      EXPECT_THAT(problem.what(), HasSubstr("step 2: "));
    }
  }
}

TEST_F(ResumeTest, quarantine_alone_is_no_fresh_start) {
  save(1);
  save(2);
  damage(2);
  EXPECT_EQ(resumed_step("auto"), 1);
  files_.remove_all(folder_ / step_name(1));

  EXPECT_THROW(resumed_step("auto"), CheckpointError);
}

/// What each rank's `resume_together` came to: "step N", "fresh" or the error's text.
using StoreOfRank = std::function<Store(int rank)>;
std::vector<std::string> outcomes(int world, const StoreOfRank& store_of, std::string_view word) {
  std::vector<std::string> result(static_cast<std::size_t>(world));
  comm::run_ranks(world, [&](comm::Comm& comm) {
    std::string& mine = result[static_cast<std::size_t>(comm.rank())];
    Store store = store_of(comm.rank());
    try {
      const Resume resume = resume_together(comm, store, parse_resume(word));
      mine = resume.loaded ? text("step ", resume.loaded->step) : "fresh";
      if (resume.loaded) mine += SampleState(resume.loaded->step).mismatch(*resume.loaded);
    } catch (const Error& problem) {
      mine = text(static_cast<int>(problem.exit_code()), ": ", problem.what());
    }
  });
  return result;
}

/// One disk for each rank: what differs is said by the test.
class ResumeTogetherTest : public ::testing::Test {
 protected:
  ResumeTogetherTest() {
    for (int rank = 0; rank < 4; ++rank) {
      for (const std::int64_t step : {1, 2}) save(rank, SampleState(step).contents());
    }
  }
  [[nodiscard]] Store store(int rank) { return {disk(rank), log_, {folder_}}; }
  [[nodiscard]] test::SimulatedDisk& disk(int rank) {
    return disks_.at(static_cast<std::size_t>(rank));
  }
  void save(int rank, const Contents& contents) { ASSERT_TRUE(store(rank).save(contents).ok); }
  [[nodiscard]] std::vector<std::string> run(int world, std::string_view word = "auto") {
    return outcomes(
        world, [&](int rank) { return store(rank); }, word);
  }

  const Path folder_ = "/run/checkpoints";
  std::array<test::SimulatedDisk, 4> disks_;
  NullLog log_;
};

TEST_F(ResumeTogetherTest, every_rank_gets_the_newest) {
  for (const int world : kWorlds) {
    EXPECT_THAT(run(world), ::testing::Each("step 2"));
    EXPECT_THAT(run(world, "never"), ::testing::Each("fresh"));
  }
}

TEST_F(ResumeTogetherTest, every_rank_follows_the_fallback_of_rank_0) {
  disk(0).remove_all(folder_ / step_name(2) / "state.json");

  EXPECT_THAT(run(4), ::testing::Each("step 1"));
}

TEST_F(ResumeTogetherTest, an_error_of_rank_0_is_thrown_on_all) {
  for (const int world : kWorlds)
    EXPECT_THAT(run(world, "/nowhere"), ::testing::Each(::testing::StartsWith("2: Cannot resume")));
}

TEST_F(ResumeTogetherTest, a_rank_that_does_not_see_the_folder_stops_all) {
  disk(2).remove_all(folder_);

  const auto found = run(4);

  EXPECT_THAT(found, ::testing::Each(found[0]));
  EXPECT_THAT(found[0], ::testing::StartsWith("65: "));
  EXPECT_THAT(found[0], HasSubstr("on 1 of 4 ranks:\nrank 2: "));
}

TEST_F(ResumeTogetherTest, a_rank_that_sees_another_checkpoint_stops_all) {
  const SampleState sample(2);
  Contents other = sample.contents();
  other.state_json = "{}";
  save(3, other);

  EXPECT_THAT(run(4), ::testing::Each(HasSubstr("rank 3: Checkpoint '/run/checkpoints/step-00000000"
                                                "02' is not the one that rank 0 reads")));
}

TEST_F(ResumeTogetherTest, whichever_read_fails_on_whichever_rank_all_end_alike) {
  for (int bad_rank = 0; bad_rank < 2; ++bad_rank) {
    for (std::size_t call = 1;; ++call) {
      test::FaultyFileSystem faulty(disk(bad_rank));
      faulty.fail_at(call, {EIO, false, false});
      const auto found = outcomes(
          2,
          [&](int rank) {
            FileSystem& files = rank == bad_rank ? static_cast<FileSystem&>(faulty) : disk(rank);
            return Store(files, log_, {folder_});
          },
          "auto");

      EXPECT_EQ(found[0], found[1]) << "rank " << bad_rank << ", call " << call;
      if (faulty.calls() < call) break;
    }
  }
}

}  // namespace
}  // namespace atelier::checkpoints
