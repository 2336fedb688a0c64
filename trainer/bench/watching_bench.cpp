#include "trainer/bench/watching_bench.h"

#include <vector>

#include <nlohmann/json.hpp>

#include "launch/base/clock.h"
#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/flight_recorder.h"
#include "launch/comm/together.h"
#include "trainer/bench/model_in_training.h"
#include "trainer/bench/timing.h"
#include "trainer/loop/monitor.h"
#include "trainer/loop/replicas.h"

namespace atelier::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kRounds = 15;
constexpr int kSteps = 200;  // pretended, in each round
constexpr int kChecks = 5;

/// Median nanoseconds of one of the `count` things that `work` does.
double nanoseconds_each(int count, const std::function<void()>& work) {
  std::vector<double> each;
  for (int i = 0; i < kRounds; ++i) each.push_back(1e9 * seconds_of(work) / count);
  return quantiles(each).median;
}

loop::MonitorOptions monitor_options(const WatchingBenchOptions& options,
                                     const engine::StepReport& report) {
  loop::MonitorOptions monitor{.config = options.config.monitoring,
                               .paths = {options.folder},
                               .identity = {.run_id = "bench"},
                               .nets = {},
                               .run = {},
                               .target_steps = kRounds * kSteps,
                               .global_batch = options.config.train.batch,
                               .build = {}};
  for (const engine::NetValue& net : report.nets) monitor.nets.push_back(net.net);
  return monitor;
}

// What the loop does around each step to be watched: marks of phases, values, records when due.
double metrics_nanoseconds(const WatchingBenchOptions& options, const engine::StepReport& report,
                           std::int64_t phases, comm::Comm& comm, FileSystem& files, Log& log) {
  const SystemClock clock;
  loop::Monitor monitor(monitor_options(options, report), comm, files, clock, log);
  monitor.timer().on_enter(
      [&](monitoring::Phase phase) { comm.recorder().set_phase(monitoring::phase_name(phase)); });
  const auto batch = static_cast<std::uint64_t>(options.config.train.batch);
  std::int64_t step = 0;
  return nanoseconds_each(kSteps, [&] {
    for (int i = 0; i < kSteps; ++i) {
      for (std::int64_t phase = 0; phase < phases; ++phase) {
        monitor.timer().enter(static_cast<monitoring::Phase>(phase % 4));
      }
      static_cast<void>(monitor.finish_step(report, ++step, 0.5, batch, batch));
      monitor.record(step, false);
    }
  });
}

double recorder_nanoseconds(comm::FlightRecorder& recorder) {
  comm::CallRecord call{.sequence = 1, .count = 1000};
  call.set_label("gradients of G, bucket 3");
  return nanoseconds_each(kSteps, [&] {
    for (int i = 0; i < kSteps; ++i) {
      recorder.enter(call);
      recorder.leave();
    }
  });
}

}  // namespace

std::string watching_bench(const WatchingBenchOptions& options, comm::Comm& comm, FileSystem& files,
                           Log& log) {
  static_cast<void>(comm::on_rank_zero(comm, [&]() -> std::string {
    if (files.exists(options.folder)) {
      throw OutputError(text("'", options.folder.string(), "' exists."),
                        "Name a folder that does not: a pretended run is written there.");
    }
    files.create_directories(options.folder / "counters");
    return "";
  }));
  comm.recorder().open_file(loop::RunPaths{options.folder}.recorder(comm.rank()));
  ModelInTraining model(options.config, options.geometry, comm);
  model.make_choices();
  engine::StepReport report;
  std::int64_t phases = 0;
  std::vector<double> step_seconds;
  const std::uint64_t before = comm.sequence();
  for (std::int64_t i = 0; i < options.steps; ++i) {
    phases = 1;  // waiting for data
    step_seconds.push_back(
        seconds_of([&] { report = model.step(i, [&](engine::Stage) { ++phases; }); }));
  }
  report = model.whole_step(options.steps);
  const double step = 1e9 * quantiles(step_seconds).median;
  const double calls =
      static_cast<double>(comm.sequence() - before) / static_cast<double>(options.steps);

  const double metrics = metrics_nanoseconds(options, report, phases, comm, files, log);
  const double recorder = calls * recorder_nanoseconds(comm.recorder());
  std::vector<double> checks;
  monitoring::Metrics counted({}, SystemClock());
  for (int i = 0; i < kChecks; ++i) {
    checks.push_back(1e9 * seconds_of([&] {
                       loop::check_replicas(model.core(), comm, log,
                                            options.config.schedule.replica_policy, i, counted);
                     }));
  }
  const double check = quantiles(checks).median;
  const double replicas = check / static_cast<double>(options.config.schedule.replica_steps);
  const double all = metrics + recorder + replicas;
  const Json result{{"bench", "watching"},
                    {"preset", options.preset},
                    {"ranks", comm.world()},
                    {"step_nanoseconds", step},
                    {"metrics_nanoseconds", metrics},
                    {"collectives_per_step", calls},
                    {"recorder_nanoseconds", recorder},
                    {"replica_check_nanoseconds", check},
                    {"replica_nanoseconds", replicas},
                    {"share_of_step", all / step}};
  return result.dump(1) + "\n";
}

std::string watching_bench_text(const std::string& json) {
  const Json result = Json::parse(json);
  const auto number = [&](const char* key) { return result.at(key).get<double>(); };
  const auto microseconds = [&](const char* key) { return fixed(number(key) * 1e-3, 1) + " us"; };
  return text(result.at("preset").get<std::string>(), " on ", result.at("ranks").get<int>(),
              " rank(s): a step takes ", fixed(number("step_nanoseconds") * 1e-6, 1),
              " ms; in it watching takes\n  ", microseconds("metrics_nanoseconds"),
              " for metrics and records, ", microseconds("recorder_nanoseconds"), " to record ",
              fixed(number("collectives_per_step"), 1), " collectives, ",
              microseconds("replica_nanoseconds"), " to compare replicas (",
              microseconds("replica_check_nanoseconds"), " each time)\n  together ",
              fixed(100 * number("share_of_step"), 3), " % of the step\n");
}

}  // namespace atelier::bench
