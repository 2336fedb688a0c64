#include "trainer/apply/model.h"

#include <optional>

#include "checkpoints/store.h"
#include "checkpoints/verify.h"
#include "launch/base/config_reader.h"
#include "launch/base/error.h"
#include "launch/base/text.h"
#include "trainer/loop/run_folder.h"
#include "trainer/objectives/registry.h"

namespace atelier::apply {
namespace {

checkpoints::Loaded newest_good(FileSystem& files, Log& log, const Path& run) {
  const Path folder = loop::RunPaths{run}.checkpoints();
  if (!files.exists(folder)) {
    throw CheckpointError(text("'", run.string(), "' holds no checkpoints."),
                          "Name the folder of a run that has saved at least once.");
  }
  const checkpoints::Store store(files, log, {.directory = folder});
  for (const checkpoints::Entry& entry : store.list()) {
    try {
      return store.load(entry.path);
    } catch (const CheckpointError& error) {
      log.warn(text(error.what(), " Trying the checkpoint before it."));
    }
  }
  throw CheckpointError(text("No checkpoint in '", folder.string(), "' can be used."));
}

}  // namespace

Model load_model(FileSystem& files, Log& log, const Path& path) {
  const checkpoints::Loaded loaded = checkpoints::is_checkpoint(files, path)
                                         ? checkpoints::read_checkpoint(files, path)
                                         : newest_good(files, log, path);
  const std::string label = (loaded.directory / checkpoints::kStateName).string();
  Model model{.checkpoint = loaded.directory,
              .state = loop::parse_state(loaded.state_json, label),
              .config = {},
              .geometry = {},
              .objective = nullptr};
  model.config = read_config<loop::RunConfig>(
      {.documents = {{.source = label, .content = model.state.config_toml}}, .overrides = {}});
  model.geometry = {
      .channels = model.state.channels, .height = model.state.height, .width = model.state.width};
  model.objective =
      objectives::make_objective(model.config.model, model.config.objective, model.geometry,
                                 static_cast<std::uint64_t>(model.config.train.seed));
  if (model.state.precision == engine::name_of(engine::Precision::kFloat64)) {
    model.type = torch::kDouble;
    for (const auto& named : model.objective->nets()) named.net->to(torch::kDouble);
  }
  loop::restore_model(*model.objective, loaded);
  return model;
}

void require_fits(const Model& model, const data::Dataset& dataset) {
  const data::ImageShape& shape = dataset.shape();
  const networks::Geometry& geometry = model.geometry;
  if (shape.height == geometry.height && shape.width == geometry.width &&
      shape.channels == geometry.channels) {
    return;
  }
  throw RefusedError(
      text("The model was trained on images of ", geometry.height, "x", geometry.width, "x",
           geometry.channels, ", but '", dataset.folder().string(), "' holds ", shape.name(), "."),
      "Import the images with the model's size.");
}

}  // namespace atelier::apply
