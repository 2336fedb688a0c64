#include <nlohmann/json.hpp>

#include "checkpoints/diff.h"
#include "checkpoints/store.h"
#include "checkpoints/verify.h"
#include "launch/base/text.h"
#include "trainer/app/commands.h"
#include "trainer/loop/run_folder.h"

namespace atelier::app {
namespace {

struct Options {
  std::string first;
  std::string second;
};

// A mistyped path is a mistake, not damage.
void require_checkpoint(const std::string& path, Context& context) {
  if (checkpoints::is_checkpoint(context.files, path)) return;
  throw ConfigError(
      text("'", path, "' is no checkpoint: it holds no ", checkpoints::kManifestName, "."),
      "Name a folder below RUN/checkpoints; `atelier checkpoint ls RUN` lists them.");
}

ExitCode list(const std::string& run, Context& context) {
  if (!context.files.exists(loop::RunPaths{run}.checkpoints()) &&
      !context.files.exists(loop::RunPaths{run}.identity())) {
    throw ConfigError(text("'", run, "' is not the folder of a run."),
                      "Name the --run that training was given.");
  }
  const checkpoints::Store store(context.files, context.log,
                                 {.directory = loop::RunPaths{run}.checkpoints()});
  std::string lines;
  bool good = true;
  for (const checkpoints::Entry& entry : store.list()) {
    const auto report = checkpoints::verify(context.files, entry.path);
    good = good && report.ok();
    lines += text("step ", entry.step, "\t", human_bytes(report.bytes), "\t",
                  report.ok() ? "good" : "DAMAGED: " + report.faults.front(), "\t",
                  entry.path.string(), "\n");
  }
  print(lines.empty() ? text("No checkpoints in '", run, "'.\n") : lines);
  return good ? ExitCode::kDone : ExitCode::kBadData;
}

ExitCode verify(const std::string& path, Context& context) {
  const auto report = checkpoints::verify(context.files, path);
  if (report.ok()) {
    print(
        text("'", path, "' is whole: step ", report.step, ", ", human_bytes(report.bytes), ".\n"));
    return ExitCode::kDone;
  }
  print(text("'", path, "' is damaged:\n  ", join(report.faults, "\n  "), "\n"));
  return ExitCode::kBadData;
}

ExitCode diff(const Options& options, Context& context) {
  require_checkpoint(options.first, context);
  require_checkpoint(options.second, context);
  const auto differences = checkpoints::diff(context.files, options.first, options.second);
  std::string lines;
  bool tensors_differ = false;
  for (const checkpoints::Difference& difference : differences) {
    tensors_differ = tensors_differ || difference.file != checkpoints::kStateName;
    lines += text(difference.file, " ", difference.tensor, ": ", difference.what, "\n");
  }
  print(lines.empty() ? "No difference.\n" : lines);
  return tensors_differ ? ExitCode::kBadData : ExitCode::kDone;
}

}  // namespace

void add_checkpoint(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* group = app.add_subcommand("checkpoint", "Look at checkpoints");
  group->require_subcommand(1);
  CLI::App* ls = group->add_subcommand("ls", "List and verify a run's checkpoints");
  ls->add_option("run", options->first, "run folder")->required();
  ls->callback([options, &chosen] {
    chosen = [options](Context& context) { return list(options->first, context); };
  });
  CLI::App* check = group->add_subcommand("verify", "Read every byte of one checkpoint");
  check->add_option("checkpoint", options->first, "checkpoint folder")->required();
  check->callback([options, &chosen] {
    chosen = [options](Context& context) { return verify(options->first, context); };
  });
  CLI::App* compare =
      group->add_subcommand("diff", "List what differs; 0 when all tensors are equal, else 65");
  compare->add_option("first", options->first, "checkpoint folder")->required();
  compare->add_option("second", options->second, "checkpoint folder")->required();
  compare->callback([options, &chosen] {
    chosen = [options](Context& context) { return diff(*options, context); };
  });
}

}  // namespace atelier::app
