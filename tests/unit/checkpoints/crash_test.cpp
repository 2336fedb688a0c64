// Promise 3 of DESIGN.md: whatever single call of a save fails, and whenever the power goes, the
// run has its last good checkpoint or the new one, whole, and the next save works.
#include <algorithm>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoints/resume.h"
#include "checkpoints/store.h"
#include "launch/base/error.h"
#include "tests/support/faulty_file_system.h"
#include "tests/unit/checkpoints/sample_state.h"
#include "tests/unit/checkpoints/simulated_disk.h"

namespace atelier::checkpoints {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr std::uint64_t kChunk = 256;

Store open(FileSystem& files, Log& log, const Path& folder) {
  return {files, log, {folder, 2, kChunk}};
}

/// The newest checkpoint is whole; returns its step, 0 when there is none.
std::int64_t newest_step(FileSystem& files, Log& log, const Path& folder) {
  FallbackReport report;
  const auto loaded = open(files, log, folder).load_latest(report);
  EXPECT_TRUE(report.rejected.empty()) << "a torn checkpoint was visible: " << report.to_text();
  if (!loaded) return 0;
  EXPECT_EQ(SampleState(loaded->step).mismatch(*loaded), "");
  return loaded->step;
}

std::size_t count_good(FileSystem& files, Log& log, const Path& folder) {
  const auto entries = open(files, log, folder).list();
  return static_cast<std::size_t>(std::count_if(
      entries.begin(), entries.end(), [&](const Entry& e) { return verify(files, e.path).ok(); }));
}

/// A run with checkpoints 1 to 3, of which the policy has kept two.
struct Scene {
  Scene() {
    disk.create_directories(folder.parent_path());
    disk.sync("/");
    Store store = open(disk, log, folder);
    for (const std::int64_t step : {1, 2, 3}) {
      EXPECT_TRUE(store.save(SampleState(step).contents()).ok);
    }
  }
  const Path folder = "/run/checkpoints";
  test::SimulatedDisk disk;
  NullLog log;
};

std::size_t calls_of_save(std::int64_t step) {
  Scene scene;
  test::FaultyFileSystem files(scene.disk);
  EXPECT_TRUE(open(files, scene.log, scene.folder).save(SampleState(step).contents()).ok);
  return files.calls();
}

void expect_old_or_new(Scene& scene, const SaveResult& result, std::size_t call) {
  const std::int64_t newest = newest_step(scene.disk, scene.log, scene.folder);
  EXPECT_THAT(newest, AnyOf(3, 4)) << "call " << call;
  if (result.ok) {
    EXPECT_EQ(newest, 4) << "call " << call;
  } else {
    EXPECT_THAT(result.reason, HasSubstr("made to fail")) << "call " << call;
  }
  EXPECT_GE(count_good(scene.disk, scene.log, scene.folder), 2U) << "call " << call;

  Store store = open(scene.disk, scene.log, scene.folder);
  EXPECT_TRUE(store.save(SampleState(4).contents()).ok);
  EXPECT_TRUE(store.save(SampleState(5).contents()).ok);
  EXPECT_EQ(newest_step(scene.disk, scene.log, scene.folder), 5);
  EXPECT_THAT(scene.disk.list(scene.folder),
              ::testing::ElementsAre("latest", "step-0000000004", "step-0000000005"));
}

void fail_each_call_of_a_save(test::Fault fault) {
  const std::size_t calls = calls_of_save(4);
  ASSERT_GT(calls, 30U);
  for (std::size_t call = 1; call <= calls; ++call) {
    Scene scene;
    test::FaultyFileSystem files(scene.disk);
    files.fail_at(call, fault);

    const SaveResult result = open(files, scene.log, scene.folder).save(SampleState(4).contents());

    if (fault.crash) scene.disk.restart(call);
    expect_old_or_new(scene, result, call);
  }
}

TEST(Save, failing_at_any_call_leaves_the_old_or_the_new_checkpoint) {
  fail_each_call_of_a_save({ENOSPC, false, false});
}

TEST(Save, torn_at_any_call_leaves_the_old_or_the_new_checkpoint) {
  fail_each_call_of_a_save({EIO, true, true});
}

TEST(Save, replacing_a_checkpoint_and_failing_at_any_call_leaves_a_whole_one) {
  const SampleState sample(3);
  Contents other = sample.contents();
  other.state_json = "{}";
  for (const bool crash : {false, true}) {
    for (std::size_t call = 1;; ++call) {
      Scene scene;
      test::FaultyFileSystem files(scene.disk);
      files.fail_at(call, {EIO, false, crash});

      static_cast<void>(open(files, scene.log, scene.folder).save(other));

      if (!crash) {
        EXPECT_EQ(open(scene.disk, scene.log, scene.folder).list().front().step, 3)
            << "call " << call;
      }
      FallbackReport report;
      const auto loaded = open(scene.disk, scene.log, scene.folder).load_latest(report);
      ASSERT_TRUE(loaded);
      EXPECT_TRUE(report.rejected.empty());
      EXPECT_EQ(loaded->step, 3) << "call " << call;
      if (files.calls() < call) break;
    }
  }
}

TEST(Save, repeated_after_a_failure_at_any_call_is_safe_once_it_says_so) {
  const std::size_t calls = calls_of_save(4);
  for (std::size_t call = 1; call <= calls; ++call) {
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      Scene scene;
      test::FaultyFileSystem files(scene.disk);
      Store store = open(files, scene.log, scene.folder);
      files.fail_at(call, {EIO, false, false});
      static_cast<void>(store.save(SampleState(4).contents()));

      ASSERT_TRUE(store.save(SampleState(4).contents()).ok);
      scene.disk.restart(seed);

      EXPECT_EQ(newest_step(scene.disk, scene.log, scene.folder), 4) << "call " << call;
    }
  }
}

TEST(LoadLatest, failing_at_any_call_gives_a_whole_checkpoint_or_an_error) {
  for (std::size_t call = 1;; ++call) {
    Scene scene;
    test::FaultyFileSystem files(scene.disk);
    files.fail_at(call, {EIO, false, false});

    try {
      FallbackReport report;
      const auto loaded = open(files, scene.log, scene.folder).load_latest(report);
      ASSERT_TRUE(loaded) << "call " << call;
      EXPECT_EQ(SampleState(loaded->step).mismatch(*loaded), "");
    } catch (const IoError&) {
    }

    EXPECT_EQ(newest_step(scene.disk, scene.log, scene.folder), 3)
        << "nothing may be moved away because it could not be read once";
    if (files.calls() < call) break;
  }
}

/// One life of a run on a disk that loses power at call `cut`: resume, then save two more steps.
/// Returns the newest step whose save was reported as done.
std::int64_t run_until_power_cut(test::SimulatedDisk& disk, Log& log, std::size_t cut) {
  std::int64_t done = 0;
  disk.cut_power_at(cut);
  try {
    Store store = open(disk, log, "/run/checkpoints");
    FallbackReport report;
    const auto loaded = store.load_latest(report);
    const std::int64_t start = loaded ? loaded->step : 0;
    for (std::int64_t step = start + 1; step <= start + 2; ++step) {
      if (store.save(SampleState(step).contents()).ok) done = step;
    }
  } catch (const IoError&) {  // the load met the cut
  }
  return done;
}

TEST(PowerCut, at_any_call_of_any_life_keeps_every_save_that_was_reported) {
  NullLog log;
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    test::SimulatedDisk disk;
    disk.create_directories("/run");
    disk.sync("/");
    std::int64_t reported = 0;
    for (std::size_t cut = 1; cut < 130; ++cut) {
      reported = std::max(reported, run_until_power_cut(disk, log, cut));

      disk.restart(seed * 1000 + cut);

      ASSERT_GE(newest_step(disk, log, "/run/checkpoints"), reported)
          << "seed " << seed << ", cut at call " << cut;
    }
    ASSERT_GT(reported, 20);
    ASSERT_GE(count_good(disk, log, "/run/checkpoints"), 2U);
  }
}

}  // namespace
}  // namespace atelier::checkpoints
