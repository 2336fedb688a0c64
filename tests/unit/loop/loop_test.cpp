// The parts around the step: run folder, verdicts reached together, outcome, state and its return.
#include <atomic>
#include <csignal>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoints/store.h"
#include "launch/base/error.h"
#include "launch/comm/flight_recorder.h"
#include "launch/comm/thread_comm.h"
#include "launch/comm/together.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_folder.h"
#include "trainer/loop/announcement.h"
#include "trainer/loop/checks.h"
#include "trainer/loop/data_watch.h"
#include "trainer/loop/outcome.h"
#include "trainer/loop/replicas.h"
#include "trainer/loop/run_folder.h"
#include "trainer/loop/state.h"
#include "trainer/loop/stop.h"
#include "trainer/objectives/registry.h"

namespace atelier::loop {
namespace {

using ::testing::HasSubstr;

ResumeChoice resume(const char* word) {
  return {.given = true, .request = checkpoints::parse_resume(word)};
}

template <typename Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

class RunFolder : public ::testing::Test {
 protected:
  RunIdentity open(const ResumeChoice& choice) {
    check_run_folder(files_, paths_, choice, "atelier train x --data d");
    return open_run_folder(files_, clock_, paths_);
  }
  LocalFileSystem files_;
  test::FakeClock clock_;
  test::TemporaryFolder folder_;
  RunPaths paths_{folder_.path() / "my run"};
};

TEST_F(RunFolder, fresh_run_gets_an_id_of_its_name_and_attempt_1) {
  const RunIdentity identity = open({});

  EXPECT_EQ(identity.attempt, 1);
  EXPECT_THAT(identity.run_id, ::testing::StartsWith("my_run-"));
}

TEST_F(RunFolder, existing_run_is_refused_with_both_ways_to_go_on) {
  static_cast<void>(open({}));
  EXPECT_THAT(message_of([&] { static_cast<void>(open({})); }), HasSubstr(" --resume auto\n"))
      << "there is no checkpoint to resume from yet";
  files_.create_directories(paths_.checkpoints());

  const std::string message = message_of([&] { static_cast<void>(open({})); });

  const std::string run = paths_.folder.string();
  EXPECT_THAT(message, HasSubstr("atelier train x --data d --run '" + run + "' --resume must\n"));
  EXPECT_THAT(message, HasSubstr("atelier train x --data d --run '" + run + "-2'"));
  EXPECT_THROW(static_cast<void>(open({})), OutputError);
  EXPECT_THROW(static_cast<void>(open(resume("never"))), OutputError);
}

TEST_F(RunFolder, resumed_run_keeps_its_id_and_counts_attempts) {
  const RunIdentity first = open({});

  const RunIdentity second = open(resume("auto"));
  const RunIdentity third = open(resume("must"));

  EXPECT_EQ(second.run_id, first.run_id);
  EXPECT_EQ(second.attempt, 2);
  EXPECT_EQ(third.attempt, 3);
}

TEST_F(RunFolder, must_without_a_run_and_foreign_folders_are_refused) {
  EXPECT_THROW(static_cast<void>(open(resume("must"))), ConfigError);
  EXPECT_FALSE(files_.exists(paths_.folder));

  files_.create_directories(paths_.folder);
  write_atomically(files_, paths_.folder / "thesis.txt", "mine");

  EXPECT_THROW(static_cast<void>(open(resume("auto"))), OutputError);
  EXPECT_EQ(files_.read(paths_.folder / "thesis.txt"), "mine");
}

TEST_F(RunFolder, damaged_identity_is_named) {
  static_cast<void>(open({}));
  write_atomically(files_, paths_.identity(), "{\"run_id\": 3}");

  EXPECT_THAT(message_of([&] { static_cast<void>(open(resume("auto"))); }), HasSubstr("run.json"));
}

TEST(Together, error_of_rank_zero_is_thrown_on_every_rank_with_its_exit_code) {
  std::atomic<int> thrown{0};
  comm::run_ranks(3, [&](comm::Comm& comm) {
    try {
      static_cast<void>(on_rank_zero(comm, []() -> std::string { throw IoError("disk gone."); }));
    } catch (const Error& error) {
      if (error.exit_code() == ExitCode::kIo && std::string(error.what()) == "disk gone.") ++thrown;
    }
  });

  EXPECT_EQ(thrown, 3);
}

TEST(Together, texts_of_any_length_reach_every_rank) {
  std::atomic<int> right{0};
  comm::run_ranks(3, [&](comm::Comm& comm) {
    const std::string own(static_cast<std::size_t>(comm.rank()) * 5, 'x');
    const auto texts = gather_texts(comm, own);
    if (texts == std::vector<std::string>{"", "xxxxx", "xxxxxxxxxx"}) ++right;
  });

  EXPECT_EQ(right, 3);
}

TEST(ExplainRanks, a_damaged_file_is_told_and_the_others_still_tell) {
  LocalFileSystem files;
  const test::TemporaryFolder folder;
  const RunPaths paths{folder.path()};
  EXPECT_EQ(explain_ranks(files, paths, 0), "");
  comm::FlightRecorder recorder(1, 2);
  recorder.open_file(paths.recorder(1));
  recorder.enter({.sequence = 7});
  write_atomically(files, paths.recorder(0), "torn");

  const std::string said = explain_ranks(files, paths, 0);

  EXPECT_THAT(said, HasSubstr("rank-0' is no recorder's file"));
  EXPECT_THAT(said, HasSubstr("Waited for: rank 0, in barrier(), call 7."));
}

TEST(Outcome, reads_back_and_keeps_what_is_not_finite) {
  LocalFileSystem files;
  const test::TemporaryFolder folder;
  Outcome outcome;
  outcome.family = "gan";
  outcome.ending = Ending::kFinished;
  outcome.step = outcome.target_steps = 10;
  outcome.images = 640;
  outcome.training_seconds = 2;
  outcome.precision = "bf16";
  outcome.parameters = {{"G", 5}, {"D", 7}};
  outcome.indicators = {{"a", 0.5}, {"b", std::numeric_limits<double>::quiet_NaN()}};

  write_outcome(files, folder.path() / "outcome.json", outcome);
  const Outcome read = read_outcome(files, folder.path() / "outcome.json");

  EXPECT_EQ(read.parameters, outcome.parameters);
  EXPECT_EQ(read.indicators.at("a"), 0.5);
  EXPECT_TRUE(std::isnan(read.indicators.at("b")));
  EXPECT_DOUBLE_EQ(read.images_per_second(), 320);
  EXPECT_THAT(summary(read, "runs/x"), HasSubstr("320 images/s"));
}

TEST(Outcome, of_a_failed_run_tells_why_and_none_or_garbage_is_not_finished) {
  LocalFileSystem files;
  const test::TemporaryFolder folder;
  const Path path = folder.path() / "outcome.json";
  EXPECT_FALSE(has_finished(files, path));
  Outcome outcome;
  outcome.ending = Ending::kFailed;
  outcome.exit_code = 76;
  outcome.error = "rank 0: it waited\nWaited for: rank 1";
  write_outcome(files, path, outcome);
  EXPECT_FALSE(has_finished(files, path));
  EXPECT_EQ(read_outcome(files, path).error, outcome.error);
  EXPECT_EQ(read_outcome(files, path).exit_code, 76);

  outcome.ending = Ending::kFinished;
  write_outcome(files, path, outcome);
  EXPECT_TRUE(has_finished(files, path));
  write_atomically(files, path, "{\"status\": \"fini");
  EXPECT_FALSE(has_finished(files, path));
}

TEST(StopSignals, each_signal_is_seen_and_the_old_handlers_come_back) {
  for (const int signal : {SIGUSR2, SIGTERM, SIGINT}) {
    const StopSignals stop;
    EXPECT_FALSE(stop.requested());

    std::raise(signal);

    EXPECT_TRUE(stop.requested());
    EXPECT_EQ(stop.signal_name(), std::string("SIG") + ::sigabbrev_np(signal));
  }
  struct sigaction now {};
  sigaction(SIGUSR2, nullptr, &now);
  EXPECT_EQ(now.sa_handler, SIG_DFL);
}

struct TinyEngine {
  explicit TinyEngine(comm::Comm& comm, std::int64_t latent = 4)
      : objective(objectives::make_objective(
            {.family = objectives::Family::kGan, .width = 4, .latent = latent}, {},
            {.channels = 1, .height = 16, .width = 16}, 1)),
        engine(*objective, comm, {}, engine::Precision::kFloat32) {}
  std::unique_ptr<objectives::Objective> objective;
  engine::Engine engine;
};

std::vector<at::Tensor> everything(engine::Engine& engine) {
  std::vector<at::Tensor> all;
  for (const auto& net : engine.nets()) {
    for (const auto& part : {net->weight_state(), net->average_state(), net->optimizer_state()}) {
      for (const auto& tensor : part) all.push_back(tensor.value);
    }
  }
  return all;
}

TEST(State, engine_comes_back_bit_for_bit_and_other_shapes_are_named) {
  comm::run_ranks(1, [](comm::Comm& comm) {
    LocalFileSystem files;
    NullLog log;
    const test::TemporaryFolder folder;
    TinyEngine trained(comm);
    for (at::Tensor& tensor : everything(trained.engine)) {
      if (tensor.is_floating_point())
        tensor.normal_();
      else
        tensor.fill_(7);
    }
    RunState state;
    state.step = 7;
    state.config = "a = 1\n";
    checkpoints::Store store(files, log, {.directory = folder.path()});
    const StagedState staged(trained.engine, state);
    ASSERT_TRUE(store.save(staged.contents()).ok);

    TinyEngine restored(comm);
    const checkpoints::Loaded loaded = store.load(store.list().front().path);
    restore_engine(restored.engine, loaded);

    const auto before = everything(trained.engine);
    const auto after = everything(restored.engine);
    ASSERT_EQ(before.size(), after.size());
    for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(before[i].equal(after[i])) << i;
    EXPECT_EQ(parse_state(loaded.state_json, "state").step, 7);
    EXPECT_EQ(parse_state(loaded.state_json, "state").config, state.config);

    TinyEngine other(comm, 5);
    EXPECT_THAT(message_of([&] { restore_engine(other.engine, loaded); }),
                HasSubstr("G.from_latent.weight"));
  });
}

TEST(Checks, ranks_that_built_other_nets_are_named_with_the_tensor) {
  comm::run_ranks(3, [](comm::Comm& comm) {
    const auto of_latent = [](std::int64_t latent) {
      return objectives::make_objective(
          {.family = objectives::Family::kGan, .width = 4, .latent = latent}, {},
          {.channels = 1, .height = 16, .width = 16}, 1);
    };
    EXPECT_NO_THROW(require_same_model(comm, *of_latent(4)));

    const std::string said =
        message_of([&] { require_same_model(comm, *of_latent(comm.rank() == 1 ? 5 : 6)); });

    EXPECT_THAT(said, HasSubstr("rank 1 has G.from_latent.weight"));
  });
}

TEST(Checks, a_rank_that_sees_another_folder_is_named) {
  const test::TemporaryFolder shared;
  const test::TemporaryFolder own;
  comm::run_ranks(3, [&](comm::Comm& comm) {
    LocalFileSystem files;
    const std::string identity = to_json(RunIdentity{.run_id = "gan-1", .attempt = 2});
    const RunPaths paths{comm.rank() == 2 ? own.path() : shared.path()};
    if (comm.rank() == 0) write_atomically(files, paths.identity(), identity);
    comm.barrier();

    const std::string said = message_of([&] {
      require_shared_folder(comm, files, paths, identity, std::chrono::milliseconds(50));
    });
    EXPECT_THAT(said, HasSubstr("not what rank 2 see"));
    EXPECT_NO_THROW(require_shared_folder(comm, files, RunPaths{shared.path()}, identity));
  });
}

// Flips the lowest mantissa bit of one value.
void flip_bit(at::Tensor tensor) {
  auto* bits = static_cast<std::uint8_t*>(tensor.data_ptr());
  bits[0] ^= 1U;
}

std::string bytes_of(engine::Engine& engine) {
  std::string all;
  const ReplicaState state(engine);
  for (const checkpoints::ReplicaPart& part : state.parts()) {
    all.append(reinterpret_cast<const char*>(part.bytes.data()), part.bytes.size());
  }
  return all;
}

monitoring::MetricsOptions two_nets() {
  monitoring::MetricsOptions options;
  options.nets = {"G", "D"};
  return options;
}

TEST(CheckReplicas, a_flipped_mantissa_bit_on_one_rank_is_healed_by_the_others) {
  using monitoring::Family;
  for (const std::size_t part : {0U, 3U, 9U}) {
    comm::run_ranks(3, [&](comm::Comm& comm) {
      NullLog log;
      const test::FakeClock clock;
      monitoring::Metrics metrics(two_nets(), clock);
      TinyEngine one(comm);
      const std::string before = bytes_of(one.engine);
      check_replicas(one.engine, comm, log, ReplicaPolicy::kStop, 1, metrics);  // equal: no verdict
      if (comm.rank() == 1) flip_bit(everything(one.engine).at(part));

      check_replicas(one.engine, comm, log, ReplicaPolicy::kHeal, 2, metrics);

      EXPECT_TRUE(bytes_of(one.engine) == before);
      if (comm.rank() > 0) return;
      EXPECT_EQ(metrics.value(Family::kReplicaChecks), 2);
      EXPECT_EQ(metrics.value(Family::kReplicaDivergentRanks), 1);
    });
  }
}

TEST(CheckReplicas, without_a_majority_or_by_policy_the_run_ends_naming_rank_and_tensor) {
  for (const int world : {2, 3}) {
    comm::run_ranks(world, [&](comm::Comm& comm) {
      NullLog log;
      const test::FakeClock clock;
      monitoring::Metrics metrics(two_nets(), clock);
      TinyEngine one(comm);
      const std::string name = one.engine.nets()[0]->weight_state()[0].name;
      if (comm.rank() == 1) flip_bit(one.engine.nets()[0]->weight_state()[0].value);

      const std::string said = message_of([&] {
        check_replicas(one.engine, comm, log,
                       world == 2 ? ReplicaPolicy::kHeal : ReplicaPolicy::kStop, 40, metrics);
      });

      EXPECT_THAT(said, HasSubstr("no longer equal at step 40: rank 1 differs"));
      EXPECT_THAT(said, HasSubstr("first in " + name));
    });
  }
}

TEST(State, text_that_is_no_state_is_a_checkpoint_error) {
  EXPECT_THROW(static_cast<void>(parse_state("{\"step\": \"x\"}", "state.json")), CheckpointError);
  EXPECT_THROW(static_cast<void>(parse_state("{", "state.json")), Error);
}

data::LoaderStats loading(double waited, double planner, double readers, std::uint64_t bytes,
                          double unpacking) {
  data::LoaderStats stats;
  stats.unpack_cpu_seconds = unpacking * readers;
  stats.wait_seconds = waited;
  stats.planner_cpu_seconds = planner;
  stats.reader_cpu_seconds = readers;
  stats.bytes_read = bytes;
  return stats;
}

/// What is said after so many steps of 0.1 s, of which each share is spent as told.
std::string said_after(int steps, double waiting, double planning, double reading,
                       double unpacking = 0) {
  DataWatch watch(2);
  std::string said;
  for (int i = 0; i <= steps; ++i) {
    const double now = 0.1 * i;
    said += watch
                .after_step(now, loading(waiting * now, planning * now, 2 * reading * now,
                                         static_cast<std::uint64_t>(i) << 20U, unpacking))
                .value_or("");
  }
  return said;
}

TEST(Announcement, warns_where_unpacking_has_no_core_of_its_own) {
  EXPECT_EQ(crowding({.compute = 1, .loading = 2, .unpacking = 0, .cores = 1}), "");
  EXPECT_EQ(crowding({.compute = 2, .loading = 3, .unpacking = 2, .cores = 4}), "");
  EXPECT_EQ(crowding({.compute = 2, .loading = 3, .unpacking = 2, .cores = 0}), "");
  EXPECT_THAT(
      crowding({.compute = 2, .loading = 3, .unpacking = 2, .cores = 3}),
      HasSubstr("computes with 2 threads and unpacks images with 2, but it may use 3 cores"));
}

TEST(DataWatch, names_the_stage_that_training_waits_for) {
  EXPECT_EQ(said_after(500, 0.05, 0.9, 0.9), "");
  EXPECT_EQ(said_after(49, 0.5, 0.9, 0.9), "");
  EXPECT_THAT(said_after(60, 0.5, 0.9, 0.9), HasSubstr("50 % of the last 50 steps. Planning"));
  EXPECT_THAT(said_after(60, 0.5, 0.1, 0.9), HasSubstr("checking images keeps 2 reader threads"));
  EXPECT_THAT(said_after(60, 0.5, 0.1, 0.9, 0.8), HasSubstr("Unpacking images keeps 2 reader"));
  EXPECT_THAT(said_after(60, 0.5, 0.1, 0.1), HasSubstr("wait for the storage (10.0 MiB/s came)"));
}

TEST(DataWatch, is_not_said_again_soon) {
  const std::string once = said_after(60, 0.5, 0.1, 0.1);
  EXPECT_EQ(said_after(5900, 0.5, 0.1, 0.1), once);
  EXPECT_GT(said_after(6200, 0.5, 0.1, 0.1).size(), once.size());
}

}  // namespace
}  // namespace atelier::loop
