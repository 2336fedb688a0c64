#include <algorithm>
#include <memory>
#include <vector>

#include <nlohmann/json.hpp>

#include "data/dataset.h"
#include "data/describe.h"
#include "data/order.h"
#include "data/reader.h"
#include "data/verify.h"
#include "launch/base/text.h"
#include "trainer/app/data_commands.h"
#include "trainer/quality/grid.h"

namespace atelier::app {
namespace {

// Images of train, drawn from all of it, so that a class that fills the beginning does not fool.
torch::Tensor picture_of(const data::Dataset& dataset) {
  constexpr std::uint64_t kShown = 64;
  data::Reader reader(dataset, data::Split::kTrain);
  const data::Order order(dataset.id_hash(), 0, reader.size());
  std::vector<std::uint64_t> indices(std::min(kShown, reader.size()));
  for (std::uint64_t i = 0; i < indices.size(); ++i) indices[i] = order(0, i);
  const data::ImageShape& shape = reader.shape();
  const torch::Tensor images = torch::empty(
      {static_cast<std::int64_t>(indices.size()), shape.height, shape.width, shape.channels},
      torch::kByte);
  reader.read(indices, {images.mutable_data_ptr<std::uint8_t>(), images.nbytes()});
  return quality::grid(images);
}

void add_info(CLI::App& group, Action& chosen) {
  struct Options {
    std::string folder;
    std::string grid;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* info = group.add_subcommand("info", "Say what a dataset holds");
  info->add_option("dataset", options->folder, "dataset folder")->required();
  info->add_flag("--json", options->json, "print one JSON document");
  info->add_option("--grid", options->grid, "PNG file to write: 64 training images");
  info->callback([options, &chosen] {
    chosen = [options](Context& context) {
      const data::Dataset dataset = data::Dataset::open(context.files, options->folder);
      if (!options->grid.empty())
        quality::write_picture(context.files, options->grid, picture_of(dataset));
      print(options->json ? data::describe_json(dataset).dump(2) + "\n" : data::describe(dataset));
      return ExitCode::kDone;
    };
  });
}

struct VerifyCommand {
  std::string folder;
  std::uint64_t sample = 0;
  std::uint64_t seed = 0;
};

ExitCode verify(const VerifyCommand& command, Context& context) {
  const std::string& folder = command.folder;
  const data::VerifyReport report =
      command.sample == 0
          ? data::verify(context.files, folder)
          : data::verify_sample(context.files, folder, command.sample, command.seed);
  if (report.ok()) {
    const char* const found =
        command.sample == 0 ? "' is whole: " : "' is whole where it was read: ";
    print(text("'", folder, found, report.shards, " shards, ", report.blocks, " blocks, ",
               human_bytes(report.bytes), ", dataset ", report.dataset_id, ".\n"));
    return ExitCode::kDone;
  }
  print(text("'", folder, "' is damaged:\n  ", join(report.findings, "\n  "), "\n"));
  return ExitCode::kBadData;
}

void add_verify(CLI::App& group, Action& chosen) {
  auto options = std::make_shared<VerifyCommand>();
  CLI::App* command =
      group.add_subcommand("verify", "Read every byte of a dataset; 65 when it is damaged");
  command->add_option("dataset", options->folder, "dataset folder")->required();
  command->add_option("--sample", options->sample,
                      "read so many blocks of images only, drawn at random");
  command->add_option("--seed", options->seed, "of that draw")->capture_default_str();
  command->callback([options, &chosen] {
    chosen = [options](Context& context) { return verify(*options, context); };
  });
}

}  // namespace

void add_data(CLI::App& app, Action& chosen) {
  CLI::App* group = app.add_subcommand("data", "Make, import and check datasets");
  group->require_subcommand(1);
  add_data_make(*group, chosen);
  add_data_import(*group, chosen);
  add_info(*group, chosen);
  add_verify(*group, chosen);
  add_data_tools(*group, chosen);
}

}  // namespace atelier::app
