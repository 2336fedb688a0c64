#include "launch/base/text.h"
#include "trainer/app/commands.h"
#include "trainer/app/presets.h"
#include "trainer/bench/comm_bench.h"
#include "trainer/bench/data_bench.h"
#include "trainer/bench/optimizer_bench.h"
#include "trainer/bench/step_bench.h"
#include "trainer/bench/watching_bench.h"

namespace atelier::app {
namespace {

struct Options {
  std::string preset;
  std::int64_t batch_per_rank = 32;
  std::int64_t threads = 1;
  std::int64_t side = 0;
  std::int64_t steps = 30;
  std::vector<std::string> overrides;
  std::string inputs;
  std::string folder;
  bool bare = false;
  bool json = false;
  bench::OptimizerBenchOptions optimizer;
  bench::DataBenchOptions data;
};

using Words = std::string (*)(const std::string& json);

ExitCode tell(const Options& options, const Context& context, const std::string& json,
              Words in_words) {
  if (context.comm.rank() == 0) print(options.json ? json : in_words(json));
  return ExitCode::kDone;
}

loop::RunConfig config_of(const Options& options, Context& context) {
  loop::RunConfig config = load_config(context.files, options.preset, options.overrides);
  if (config.train.accumulation != 1) {
    throw ConfigError("The benchmark passes the whole batch through the nets at once.",
                      "Leave out train.accumulation, and lower --batch-per-rank.");
  }
  config.train.batch = options.batch_per_rank * context.comm.world();
  return config;
}

networks::Geometry geometry_of(const Options& options) {
  const Preset* const preset = find_preset(options.preset);
  const std::int64_t side = options.side > 0 ? options.side : preset != nullptr ? preset->side : 64;
  return {.channels = 3, .height = side, .width = side};
}

ExitCode bench_step(const Options& options, Context& context) {
  const bench::StepBenchOptions bench{.preset = options.preset,
                                      .config = config_of(options, context),
                                      .geometry = geometry_of(options),
                                      .steps = options.steps,
                                      .bare = options.bare,
                                      .inputs = options.inputs};
  limit_threads(options.threads);
  return tell(options, context, bench::step_bench(bench, context.comm, context.files),
              bench::step_bench_text);
}

ExitCode bench_watching(const Options& options, Context& context) {
  const bench::WatchingBenchOptions bench{.preset = options.preset,
                                          .config = config_of(options, context),
                                          .geometry = geometry_of(options),
                                          .steps = options.steps,
                                          .folder = options.folder};
  limit_threads(options.threads);
  return tell(options, context,
              bench::watching_bench(bench, context.comm, context.files, context.log),
              bench::watching_bench_text);
}

ExitCode bench_comm(const Options& options, Context& context) {
  return tell(options, context, bench::comm_bench(context.comm), bench::comm_bench_text);
}

ExitCode bench_data(const Options& options, Context& context) {
  if (context.comm.world() > 1) {
    throw RefusedError("The benchmark of the loader knows no ranks.", "Start one.");
  }
  return tell(options, context, bench::data_bench(options.data, context.files),
              bench::data_bench_text);
}

ExitCode bench_optimizer(const Options& options, Context& context) {
  limit_threads(options.threads);
  return tell(options, context, bench::optimizer_bench(options.optimizer),
              bench::optimizer_bench_text);
}

using Run = ExitCode (*)(const Options& options, Context& context);

CLI::App* add(CLI::App& bench, Action& chosen, const std::shared_ptr<Options>& options,
              const char* name, const char* about, Run run) {
  CLI::App* const command = bench.add_subcommand(name, about);
  command->add_flag("--json", options->json, "as one JSON document");
  command->callback([options, run, &chosen] {
    chosen = [options, run](Context& context) { return run(*options, context); };
  });
  return command;
}

void add_step_options(CLI::App& command, Options& options) {
  command.add_option("--preset", options.preset, "preset (see `config presets`) or TOML file")
      ->required();
  command.add_option("--batch-per-rank", options.batch_per_rank, "images per rank and step")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command.add_option("--side", options.side,
                     "height and width of the images in pixels; default: what the preset is for");
  command.add_option("--steps", options.steps, "steps that are timed")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command.add_option("--set", options.overrides, "override one key: train.precision=bf16")
      ->allow_extra_args(false);
}

void add_data_options(CLI::App& command, bench::DataBenchOptions& options) {
  command.add_option("dataset", options.dataset, "folder of a dataset, best of 500 MB or more")
      ->required();
  command.add_option("--threads", options.threads, "that read, and that the reference has")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command.add_option("--batch", options.batch, "images of a batch")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command.add_option("--rounds", options.rounds, "passes over the images that are timed")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.add_flag("--cold", options.cold, "with the files dropped from the page cache before");
  command.add_option("--order", options.order, "full or block")
      ->transform(CLI::CheckedTransformer(std::map<std::string, data::OrderMode>{
          {"full", data::OrderMode::kFull}, {"block", data::OrderMode::kBlock}}));
  command.add_option("--access", options.access, "auto, map, read or direct: as data.access")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, data::Access>{{"auto", data::Access::kAuto},
                                              {"map", data::Access::kMap},
                                              {"read", data::Access::kRead},
                                              {"direct", data::Access::kDirect}}));
}

}  // namespace

void add_bench(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* bench = app.add_subcommand(
      "bench",
      "Measure this machine, alone or under mpirun; results are verified first.\n"
      "  mpirun -n 2 atelier bench step --preset dcgan-64 --batch-per-rank 32");
  bench->require_subcommand(1);
  add(*bench, chosen, options, "comm", "Sums over ranks, by size", bench_comm);

  CLI::App* data =
      add(*bench, chosen, options, "data",
          "The loader beside memcpy of the same images, or beside unpacking alone", bench_data);
  add_data_options(*data, options->data);

  CLI::App* step =
      add(*bench, chosen, options, "step", "Training steps on made-up images", bench_step);
  step->add_flag("--bare", options->bare,
                 "take turns with a loop without the engine; one rank only");
  step->add_option("--inputs", options->inputs,
                   "folder to leave the initial weights and the inputs in, for another program");

  CLI::App* watching = add(*bench, chosen, options, "watching",
                           "What metrics, recorder and replica checks cost a step", bench_watching);
  watching
      ->add_option("--out", options->folder, "folder for the pretended run, which must not exist")
      ->required();
  for (CLI::App* const command : {step, watching}) add_step_options(*command, *options);

  CLI::App* update = add(*bench, chosen, options, "optimizer",
                         "The update of the weights beside triad and PyTorch's", bench_optimizer);
  update->add_option("--parameters", options->optimizer.parameters, "how many")
      ->check(CLI::Range(1'000, 1'000'000'000))
      ->capture_default_str();
  update->add_option("--tensors", options->optimizer.tensors, "in how many tensors")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  for (CLI::App* const command : {step, watching, update}) {
    command->add_option("--threads", options->threads, "compute threads of each rank")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
  }
}

}  // namespace atelier::app
