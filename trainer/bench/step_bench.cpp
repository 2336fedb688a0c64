#include "trainer/bench/step_bench.h"

#include <array>

#include <nlohmann/json.hpp>
#include <sys/resource.h>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "trainer/bench/model_in_training.h"
#include "trainer/bench/step_inputs.h"
#include "trainer/bench/timing.h"
#include "trainer/device/device.h"

namespace atelier::bench {
namespace {

using engine::Stage;
using Json = nlohmann::ordered_json;

constexpr std::array<const char*, 5> kStages{"forward", "backward", "all_reduce", "optimizer",
                                             "metrics"};

// Milliseconds of the stages of a step, summed over steps.
class StageClock {
 public:
  void enter(Stage stage) {
    leave();
    current_ = static_cast<std::size_t>(stage);
    running_ = true;
  }
  void leave() {
    const auto now = Clock::now();
    if (running_)
      sums_[current_] += std::chrono::duration<double, std::milli>(now - since_).count();
    since_ = now;
    running_ = false;
  }
  [[nodiscard]] Json per_step(std::int64_t steps) const {
    Json all;
    for (std::size_t i = 0; i < kStages.size(); ++i) {
      all[kStages[i]] = sums_[i] / static_cast<double>(steps);
    }
    return all;
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::array<double, kStages.size()> sums_{};
  Clock::time_point since_;
  std::size_t current_ = 0;
  bool running_ = false;
};

Json losses_of(const engine::StepReport& report) {
  Json losses;
  for (const engine::LossValue& loss : report.losses) {
    if (loss.present) losses[loss.net + "." + loss.term] = loss.value;
  }
  return losses;
}

// How much faster a step of the engine is than one of the bare loop.
Json against_bare_loop(ModelInTraining& bench, std::int64_t steps) {
  const auto bare_step = bench.bare_step();
  std::int64_t engine_steps = 2 * kInputSteps;
  std::int64_t bare_steps = 0;
  const auto seconds =
      take_turns(static_cast<std::size_t>(steps),
                 {[&] { static_cast<void>(bench.step(engine_steps++, [](Stage) {})); },
                  [&] { bare_step(bare_steps++); }});
  const Quantiles faster = ratios(seconds[1], seconds[0]);
  return {{"milliseconds", 1e3 * quantiles(seconds[1]).median},
          {"engine_faster", faster.median},
          {"tenth", faster.tenth},
          {"ninetieth", faster.ninetieth}};
}

// The largest of all ranks. Units: bytes.
std::int64_t peak_memory(comm::Comm& comm) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::int64_t bytes = usage.ru_maxrss * 1024;
  comm.all_reduce({&bytes, 1, comm::DType::kInt64}, comm::ReduceOp::kMax, {.label = "memory"});
  return bytes;
}

}  // namespace

std::string step_bench(const StepBenchOptions& options, comm::Comm& comm, FileSystem& files) {
  if (options.bare && comm.world() > 1) {
    throw RefusedError("The bare loop knows no ranks.", "Start one rank to compare with it.");
  }
  if (options.bare && !comm.host_can_touch()) {
    throw RefusedError("The bare loop computes on hosts only.", "Leave out --backend nccl.");
  }
  ModelInTraining bench(options.config, options.geometry, comm);
  if (!options.inputs.empty() && comm.rank() == 0) {
    write_inputs(files, options.inputs, bench.core(), options.config, options.geometry,
                 bench.streams());
  }
  bench.make_choices();
  Json losses = Json::array();
  for (std::int64_t step = 0; step < kInputSteps; ++step) {
    losses.push_back(losses_of(bench.whole_step(step)));
  }
  StageClock stages;
  std::vector<double> milliseconds;
  std::int64_t reduced = 0;
  for (std::int64_t i = 0; i < options.steps; ++i) {
    milliseconds.push_back(1e3 * seconds_of([&] {
                             const auto report = bench.step(
                                 kInputSteps + i, [&](Stage stage) { stages.enter(stage); });
                             reduced = report.reduced_bytes;
                           }));
    stages.leave();
  }
  const Json bare = options.bare ? against_bare_loop(bench, options.steps) : Json();
  const Quantiles time = quantiles(milliseconds);
  const std::int64_t memory = peak_memory(comm);
  Json result{
      {"bench", "step"},
      {"preset", options.preset},
      {"ranks", comm.world()},
      {"threads", at::get_num_threads()},
      {"precision", engine::name_of(bench.core().precision())},
      {"batch_per_rank",
       static_cast<double>(options.config.train.batch) / static_cast<double>(comm.world())},
      {"images_per_second", 1e3 * static_cast<double>(options.config.train.batch) / time.median},
      {"step_milliseconds",
       {{"median", time.median}, {"tenth", time.tenth}, {"ninetieth", time.ninetieth}}},
      {"stage_milliseconds", stages.per_step(options.steps)},
      {"reduced_bytes", reduced},
      {"buckets",
       {{"bytes", bench.core().bucket_plan().bytes},
        {"overlap", bench.core().bucket_plan().overlap}}},
      {"peak_memory_bytes", memory},
      {"device", bench.core().device().str()},
      {"peak_device_memory_bytes", device::peak_bytes(bench.core().device())},
      {"losses", losses}};
  if (options.bare) result["bare_loop"] = bare;
  if (const auto& trial = bench.recordings()) {
    result["graphs"] = {{"repeated", trial->refusal.empty()}, {"refusal", trial->refusal}};
  }
  return result.dump(1) + "\n";
}

std::string step_bench_text(const std::string& json) {
  const Json result = Json::parse(json);
  const auto number = [&](const char* key) { return result.at(key).get<double>(); };
  const Json& time = result.at("step_milliseconds");
  std::string lines = text(
      result.at("preset").get<std::string>(), " on ", result.at("ranks").get<int>(), " rank(s) x ",
      result.at("threads").get<int>(), " thread(s), ", result.at("precision").get<std::string>(),
      ", ", number("batch_per_rank"), " images per rank\n  ", fixed(number("images_per_second"), 1),
      " images/s; a step takes ", fixed(time.at("median").get<double>(), 1), " ms (",
      fixed(time.at("tenth").get<double>(), 1), " to ",
      fixed(time.at("ninetieth").get<double>(), 1), ")\n  of it");
  for (const auto& [stage, milliseconds] : result.at("stage_milliseconds").items()) {
    lines += text(" ", stage, " ", fixed(milliseconds.get<double>(), 1));
  }
  lines += text("\n  peak memory of a rank ",
                human_bytes(result.at("peak_memory_bytes").get<std::uint64_t>()), "\n");
  if (result.contains("bare_loop")) {
    const Json& bare = result.at("bare_loop");
    lines += text("  the bare loop takes ", fixed(bare.at("milliseconds").get<double>(), 1),
                  " ms; the engine is ", fixed(bare.at("engine_faster").get<double>(), 3),
                  " times as fast\n");
  }
  return lines;
}

}  // namespace atelier::bench
