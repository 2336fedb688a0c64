#include <nlohmann/json.hpp>
#include <torch/torch.h>

#include "launch/base/text.h"
#include "trainer/app/commands.h"
#include "trainer/apply/compare.h"
#include "trainer/quality/grid.h"

namespace atelier::app {
namespace {

struct Options {
  std::vector<std::string> runs;
  std::string data;
  std::string out;
  bool json = false;
};

ExitCode run(const Options& options, Context& context) {
  const std::vector<Path> folders(options.runs.begin(), options.runs.end());
  const auto runs = apply::read_runs(context.files, folders);
  if (!options.out.empty()) {
    quality::write_picture(context.files, options.out,
                           apply::comparison_sheet(context.files, context.log, runs, options.data));
  }
  if (!options.json) {
    print(apply::comparison_table(runs));
    return ExitCode::kDone;
  }
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const apply::ComparedRun& one : runs) {
    auto outcome =
        nlohmann::ordered_json::parse(context.files.read(loop::RunPaths{one.folder}.outcome()));
    outcome["name"] = one.name;
    json.push_back(std::move(outcome));
  }
  print(json.dump(2) + "\n");
  return ExitCode::kDone;
}

}  // namespace

void add_compare(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* compare = app.add_subcommand("compare", "Put ended runs side by side");
  compare->add_option("runs", options->runs, "run folders")->required();
  CLI::Option* data = compare->add_option("--data", options->data, "dataset folder, for --out");
  compare->add_option("--out", options->out, "PNG with the pictures of all runs")->needs(data);
  compare->add_flag("--json", options->json, "print one JSON document");
  compare->callback([options, &chosen] {
    chosen = [options](Context& context) { return run(*options, context); };
  });
}

}  // namespace atelier::app
