// A trained model, loaded from its run: network and configuration come from the checkpoint itself,
// weights are the averages where there are some. Thread safety: one thread.
#pragma once

#include <memory>

#include <torch/torch.h>

#include "data/dataset.h"
#include "launch/base/file_system.h"
#include "launch/base/log.h"
#include "trainer/loop/config.h"
#include "trainer/loop/state.h"
#include "trainer/networks/geometry.h"
#include "trainer/objectives/objective.h"

namespace atelier::apply {

struct Model {
  Path checkpoint;
  loop::RunState state;
  loop::RunConfig config;
  networks::Geometry geometry;
  std::unique_ptr<objectives::Objective> objective;
  at::ScalarType type = torch::kFloat;
};

/// `path` is a run folder (its newest checkpoint that verifies is taken; a damaged newer one is
/// named in the log and left alone) or one checkpoint folder.
/// Throws: CheckpointError, IoError, ConfigError.
[[nodiscard]] Model load_model(FileSystem& files, Log& log, const Path& path);

/// Throws: RefusedError unless the images of `dataset` have the size the model was trained on.
void require_fits(const Model& model, const data::Dataset& dataset);

}  // namespace atelier::apply
