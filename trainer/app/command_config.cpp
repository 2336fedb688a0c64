#include "launch/base/config_listing.h"
#include "launch/base/config_print.h"
#include "launch/base/config_reader.h"
#include "launch/base/text.h"
#include "trainer/app/commands.h"
#include "trainer/app/presets.h"

namespace atelier::app {

loop::RunConfig load_config(FileSystem& files, const std::string& preset_or_file,
                            const std::vector<std::string>& overrides) {
  ConfigSources sources{.documents = {}, .overrides = overrides};
  if (const Preset* preset = find_preset(preset_or_file)) {
    sources.documents.push_back(
        {.source = "preset " + preset_or_file, .content = std::string(preset->toml)});
  } else if (files.exists(preset_or_file)) {
    sources.documents.push_back({.source = preset_or_file, .content = files.read(preset_or_file)});
  } else {
    std::vector<std::string> names;
    for (const Preset& known : presets()) names.emplace_back(known.name);
    const std::string near = nearest(preset_or_file, names);
    throw ConfigError(
        text("'", preset_or_file, "' is neither a file nor a preset",
             near.empty() ? "" : text("; did you mean '", near, "'?"), near.empty() ? "." : ""),
        text("Presets: ", join(names), "."));
  }
  return read_config<loop::RunConfig>(sources);
}

void add_config(CLI::App& app, Action& chosen) {
  struct Options {
    std::string config;
    std::vector<std::string> overrides;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* config = app.add_subcommand("config", "Show configurations and their keys");
  config->require_subcommand(1);

  CLI::App* show = config->add_subcommand("print", "Print a resolved configuration as TOML");
  show->add_option("config", options->config, "preset or TOML file")->required();
  show->add_option("--set", options->overrides, "override one key: a.b=value")
      ->allow_extra_args(false);
  show->callback([options, &chosen] {
    chosen = [options](Context& context) {
      print(config_toml(
          list_fields(load_config(context.files, options->config, options->overrides))));
      return ExitCode::kDone;
    };
  });

  CLI::App* schema = config->add_subcommand("schema", "List every key: type, range, meaning");
  schema->add_flag("--json", options->json, "as one JSON document");
  schema->callback([options, &chosen] {
    chosen = [options](Context&) {
      const auto fields = list_fields(loop::RunConfig());
      print(options->json ? schema_json(fields) : schema_table(fields));
      return ExitCode::kDone;
    };
  });

  CLI::App* list = config->add_subcommand("presets", "List the presets");
  list->callback([&chosen] {
    chosen = [](Context&) {
      std::string lines;
      for (const Preset& preset : presets()) {
        lines += text(preset.name, "\t", preset.about, "\n");
      }
      print(lines);
      return ExitCode::kDone;
    };
  });
}

}  // namespace atelier::app
