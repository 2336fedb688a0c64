#include "launch/base/text.h"
#include "trainer/app/commands.h"
#include "trainer/loop/training.h"

namespace atelier::app {
namespace {

struct Options {
  std::string config;
  std::string data;
  std::string run = "run";
  std::vector<std::string> overrides;
  std::string resume;
  bool dry_run = false;
};

// What to type to start this run again, but for --run and --resume.
std::string command_of(const Options& options, int world) {
  std::string command = world > 1 ? text("mpirun -n ", world, " ") : "";
  command +=
      text("atelier train ", shell_word(options.config), " --data ", shell_word(options.data));
  for (const std::string& override : options.overrides) {
    command += " --set " + shell_word(override);
  }
  return command;
}

ExitCode run(const Options& options, Context& context) {
  loop::TrainRequest request{
      .config = load_config(context.files, options.config, options.overrides),
      .data = options.data,
      .run = options.run,
      .resume = {},
      .build = build_versions(),
      .command = command_of(options, context.comm.world())};
  if (!options.resume.empty()) {
    request.resume = {.given = true, .request = checkpoints::parse_resume(options.resume)};
  }
  limit_threads(request.config.train.threads);
  if (options.dry_run) {
    if (context.comm.rank() == 0) {
      print(loop::plan(request, context.files, context.comm.world()));
    }
    return ExitCode::kDone;
  }
  const loop::StopSignals stop;
  return loop::train(request, {.comm = context.comm,
                               .files = context.files,
                               .clock = context.clock,
                               .log = context.log,
                               .stop = stop});
}

}  // namespace

void add_train(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* train = app.add_subcommand(
      "train",
      "Train a model, alone or under mpirun.\n"
      "  mpirun -n 2 atelier train gan-32 --data photos --run runs/gan\n"
      "Stop and save: kill -USR2 <mpirun's pid> (exit code 75). Go on: add --resume must.");
  train->add_option("config", options->config, "preset (see `config presets`) or TOML file")
      ->required();
  train->add_option("--data", options->data, "dataset folder")->required();
  train->add_option("--run", options->run, "run folder; must not hold a run yet")
      ->capture_default_str();
  train->add_option("--set", options->overrides, "override one key: train.steps=100")
      ->allow_extra_args(false);
  train->add_option("--resume", options->resume,
                    "auto: newest good checkpoint, else start; must: or fail; never; or a "
                    "checkpoint's folder");
  train->add_flag("--dry-run", options->dry_run, "print the plan and do nothing");
  train->callback([options, &chosen] {
    chosen = [options](Context& context) { return run(*options, context); };
  });
}

}  // namespace atelier::app
