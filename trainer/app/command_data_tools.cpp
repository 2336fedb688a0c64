#include <algorithm>
#include <thread>

#include "data/dataset.h"
#include "data/tools/export.h"
#include "data/tools/repair.h"
#include "data/tools/reshard.h"
#include "launch/base/text.h"
#include "trainer/app/data_commands.h"

namespace atelier::app {
namespace {

void add_reshard(CLI::App& group, Action& chosen) {
  struct Options {
    std::string dataset;
    std::string out;
    std::uint64_t megabytes = 256;
    std::string storage;
  };
  auto options = std::make_shared<Options>();
  CLI::App* reshard = group.add_subcommand(
      "reshard",
      "Write the same samples in other shards; its id stays, but where image files "
      "become pixels");
  reshard->add_option("dataset", options->dataset, "dataset folder")->required();
  reshard->add_option("--out", options->out, "dataset folder to create")->required();
  reshard->add_option("--shard-mib", options->megabytes, "largest shard, MiB")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 20U))
      ->capture_default_str();
  reshard->add_option("--storage", options->storage, "raw or deflate; else as it is")
      ->check(CLI::IsMember({"raw", "deflate"}));
  reshard->callback([options, &chosen] {
    chosen = [options](Context& context) {
      const data::Dataset dataset = data::Dataset::open(context.files, options->dataset);
      data::ReshardOptions wanted{.shard_bytes = options->megabytes << 20U};
      wanted.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
      if (!options->storage.empty()) {
        wanted.storage = options->storage == "raw" ? data::Storage::kRaw : data::Storage::kDeflate;
      }
      const data::Manifest made =
          data::reshard(context.files, context.clock, dataset, options->out, wanted);
      const std::string id = data::content_id(made);
      context.log.info(text("Wrote ", made.shards.size(), " shards to '", options->out,
                            "', which is dataset ", id, id == dataset.id() ? " as before." : "."));
      return ExitCode::kDone;
    };
  });
}

void add_repair(CLI::App& group, Action& chosen) {
  auto folder = std::make_shared<std::string>();
  CLI::App* repair = group.add_subcommand(
      "repair", "Make a lost or damaged manifest.json again from the shards, if all are whole");
  repair->add_option("dataset", *folder, "dataset folder")->required();
  repair->callback([folder, &chosen] {
    chosen = [folder](Context& context) {
      const data::Manifest made = data::repair(context.files, context.clock, *folder);
      context.log.info(text("Made the manifest of '", *folder, "' from ", made.shards.size(),
                            " whole shards; dataset ", data::content_id(made), "."));
      return ExitCode::kDone;
    };
  });
}

void add_export(CLI::App& group, Action& chosen) {
  struct Options {
    std::string dataset;
    std::string out;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = group.add_subcommand(
      "export", "Write PNG files in class folders, or NumPy arrays where --out ends in .npz");
  command->add_option("dataset", options->dataset, "dataset folder")->required();
  command->add_option("--out", options->out, "folder, or file.npz, to create")->required();
  command->callback([options, &chosen] {
    chosen = [options](Context& context) {
      const data::Dataset dataset = data::Dataset::open(context.files, options->dataset);
      const bool arrays = options->out.ends_with(".npz");
      const std::uint64_t images = arrays
                                       ? data::export_npz(context.files, dataset, options->out)
                                       : data::export_folder(context.files, dataset, options->out);
      context.log.info(text("Exported ", human_count(static_cast<std::int64_t>(images)),
                            " images to '", options->out, "'."));
      return ExitCode::kDone;
    };
  });
}

}  // namespace

void add_data_tools(CLI::App& group, Action& chosen) {
  add_reshard(group, chosen);
  add_repair(group, chosen);
  add_export(group, chosen);
}

}  // namespace atelier::app
