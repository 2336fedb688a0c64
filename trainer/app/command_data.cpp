#include <cstdio>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "data/dataset.h"
#include "data/describe.h"
#include "data/import.h"
#include "data/shapes.h"
#include "data/verify.h"
#include "launch/base/text.h"
#include "trainer/app/commands.h"

namespace atelier::app {
namespace {

void add_make(CLI::App& group, Action& chosen) {
  struct Options {
    std::string out;
    data::ShapesOptions shapes;
  };
  auto options = std::make_shared<Options>();
  CLI::App* make = group.add_subcommand("make", "Render a dataset with known factors");
  make->require_subcommand(1);
  CLI::App* shapes =
      make->add_subcommand("shapes", "Six classes of coloured, rotated, anti-aliased shapes");
  shapes->add_option("--out", options->out, "dataset folder to create")->required();
  shapes->add_option("--train", options->shapes.train, "training images; 5 % of them become valid")
      ->capture_default_str();
  shapes->add_option("--test", options->shapes.test, "test images")->capture_default_str();
  shapes->add_option("--height", options->shapes.height, "pixels")->capture_default_str();
  shapes->add_option("--width", options->shapes.width, "pixels")->capture_default_str();
  shapes->add_option("--channels", options->shapes.channels, "1 or 3")
      ->check(CLI::IsMember({1, 3}))
      ->capture_default_str();
  shapes->add_option("--seed", options->shapes.seed, "image i depends on seed and i alone")
      ->capture_default_str();
  shapes->callback([options, &chosen] {
    chosen = [options](Context& context) {
      options->shapes.out = options->out;
      data::make_shapes(context.files, context.clock, options->shapes);
      context.log.info(text("Made ", human_count(static_cast<std::int64_t>(options->shapes.train)),
                            " training and ",
                            human_count(static_cast<std::int64_t>(options->shapes.test)),
                            " test images in '", options->out, "'."));
      return ExitCode::kDone;
    };
  });
}

// One line that rewrites itself on a terminal; nothing where the output is a file.
void show_progress(const data::ImportProgress& progress) {
  if (::isatty(fileno(stderr)) == 0) return;
  std::fprintf(stderr, "\r%s %llu/%llu\033[K%s", progress.phase,
               static_cast<unsigned long long>(progress.done),   // NOLINT(google-runtime-int)
               static_cast<unsigned long long>(progress.total),  // NOLINT(google-runtime-int)
               progress.done == progress.total ? "\r\033[K" : "");
}

data::ImageSize parse_size(const std::string& size) {
  data::ImageSize parsed;
  char rest = 0;
  // NOLINTNEXTLINE(cert-err34-c): the count of fields is checked, and overflow ends below 1
  const int fields = std::sscanf(size.c_str(), "%5dx%5d%c", &parsed.height, &parsed.width, &rest);
  if (fields == 2 && parsed.height > 0 && parsed.width > 0) return parsed;
  throw ConfigError(text("--size '", size, "' is not HEIGHTxWIDTH in pixels."),
                    "For example --size 64x64.");
}

struct ImportCommand {
  std::string source;
  std::string out;
  std::string size;
  int channels = 0;
  std::string on_error = "fail";
  bool no_shuffle = false;
  int threads = 2;
};

ExitCode import(const ImportCommand& command, Context& context) {
  data::ImportOptions options;
  options.source = command.source;
  options.out = command.out;
  if (!command.size.empty()) options.size = parse_size(command.size);
  if (command.channels != 0) options.channels = command.channels;
  options.on_error = command.on_error == "skip" ? data::OnError::kSkip : data::OnError::kFail;
  options.shuffle = !command.no_shuffle;
  options.threads = command.threads;
  options.progress = show_progress;
  const auto start = context.clock.now();
  const data::ImportReport report = data::import_images(context.files, context.clock, options);
  const double took = seconds(context.clock.now() - start);
  for (const data::SkippedFile& skipped : report.skipped) {
    context.log.warn(text("Skipped '", skipped.name, "': ", skipped.reason));
  }
  context.log.info(text("Imported ", human_count(static_cast<std::int64_t>(report.imported)),
                        " images into '", command.out, "' in ", human_seconds(took), "; ",
                        report.skipped.size(), " skipped, ", report.hidden,
                        " hidden files passed over."));
  return ExitCode::kDone;
}

void add_import(CLI::App& group, Action& chosen) {
  auto options = std::make_shared<ImportCommand>();
  CLI::App* import_command = group.add_subcommand(
      "import",
      "Turn JPEG and PNG files of a folder or zip into a dataset.\n"
      "Folders train, valid (or val) and test are kept as splits; the next folder is the class.");
  import_command->add_option("source", options->source, "folder or archive")->required();
  import_command->add_option("--out", options->out, "dataset folder to create")->required();
  import_command->add_option("--size", options->size,
                             "HEIGHTxWIDTH: crop to the middle and resize; else all images must "
                             "have one size");
  import_command->add_option("--channels", options->channels, "1 or 3; else what most images have")
      ->check(CLI::IsMember({1, 3}));
  import_command->add_option("--on-error", options->on_error, "fail, or skip and report")
      ->check(CLI::IsMember({"fail", "skip"}))
      ->capture_default_str();
  import_command->add_flag("--no-shuffle", options->no_shuffle, "keep the order of the names");
  import_command->add_option("--threads", options->threads, "decoding threads")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  import_command->callback([options, &chosen] {
    chosen = [options](Context& context) { return import(*options, context); };
  });
}

void add_info(CLI::App& group, Action& chosen) {
  struct Options {
    std::string folder;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* info = group.add_subcommand("info", "Say what a dataset holds");
  info->add_option("dataset", options->folder, "dataset folder")->required();
  info->add_flag("--json", options->json, "print one JSON document");
  info->callback([options, &chosen] {
    chosen = [options](Context& context) {
      const data::Dataset dataset = data::Dataset::open(context.files, options->folder);
      print(options->json ? data::describe_json(dataset).dump(2) + "\n" : data::describe(dataset));
      return ExitCode::kDone;
    };
  });
}

ExitCode verify(const std::string& folder, Context& context) {
  const data::VerifyReport report = data::verify(context.files, folder);
  if (report.ok()) {
    print(text("'", folder, "' is whole: ", report.shards, " shards, ", report.blocks, " blocks, ",
               human_bytes(report.bytes), ", dataset ", report.dataset_id, ".\n"));
    return ExitCode::kDone;
  }
  print(text("'", folder, "' is damaged:\n  ", join(report.findings, "\n  "), "\n"));
  return ExitCode::kBadData;
}

void add_verify(CLI::App& group, Action& chosen) {
  auto folder = std::make_shared<std::string>();
  CLI::App* command =
      group.add_subcommand("verify", "Read every byte of a dataset; 65 when it is damaged");
  command->add_option("dataset", *folder, "dataset folder")->required();
  command->callback([folder, &chosen] {
    chosen = [folder](Context& context) { return verify(*folder, context); };
  });
}

}  // namespace

void add_data(CLI::App& app, Action& chosen) {
  CLI::App* group = app.add_subcommand("data", "Make, import and check datasets");
  group->require_subcommand(1);
  add_make(*group, chosen);
  add_import(*group, chosen);
  add_info(*group, chosen);
  add_verify(*group, chosen);
}

}  // namespace atelier::app
