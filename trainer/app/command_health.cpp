#include "launch/base/text.h"
#include "trainer/app/commands.h"
#include "trainer/loop/outcome.h"
#include "trainer/loop/run_folder.h"

namespace atelier::app {
namespace {

ExitCode run(const std::string& folder, Context& context) {
  const loop::RunPaths paths{folder};
  if (!context.files.exists(paths.identity())) {
    throw ConfigError(text("'", folder, "' is not the folder of a run."),
                      "Name the --run that training was given.");
  }
  const loop::RunIdentity identity =
      loop::parse_identity(context.files.read(paths.identity()), paths.identity().string());
  std::string lines = text(identity.run_id, ", attempt ", identity.attempt, ": ");
  if (context.files.exists(paths.outcome())) {
    const loop::Outcome outcome = loop::read_outcome(context.files, paths.outcome());
    lines += text(loop::name_of(outcome.ending), " at step ", outcome.step, " of ",
                  outcome.target_steps, "\n", outcome.error);
  } else {
    lines += text("running, or ended without a word\n",
                  loop::explain_ranks(context.files, paths, context.clock.unix_seconds()));
  }
  if (lines.back() != '\n') lines += '\n';
  print(lines);
  return ExitCode::kDone;
}

}  // namespace

void add_health(CLI::App& app, Action& chosen) {
  auto folder = std::make_shared<std::string>();
  CLI::App* health = app.add_subcommand(
      "health", "Say how a run is doing or ended: what each rank does, who waits for whom");
  health->add_option("run", *folder, "run folder")->required();
  health->callback(
      [folder, &chosen] { chosen = [folder](Context& context) { return run(*folder, context); }; });
}

}  // namespace atelier::app
