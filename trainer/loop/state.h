// A run's state as a checkpoint and back: tensors of the engine in safetensors files, everything
// else in state.json. Thread safety: one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "checkpoints/contents.h"
#include "checkpoints/verify.h"
#include "trainer/engine/engine.h"

namespace atelier::loop {

inline constexpr const char* kWeightsFile = "model.safetensors";
inline constexpr const char* kAverageFile = "ema.safetensors";
inline constexpr const char* kOptimizerFile = "optimizer.safetensors";

/// What state.json holds.
struct RunState {
  std::int64_t step = 0;
  std::int64_t images = 0;  ///< seen by the optimizer
  std::string precision;    ///< "fp32", "bf16", "fp64": the choice, once made
  engine::BucketPlan buckets = {};
  bool buckets_measured = false;  ///< on so many ranks, not pinned by the configuration alone
  std::string config;             ///< flat form, for comparing on resume
  std::string config_toml;        ///< resolved, to build the model from
  std::string dataset_id;
  std::int64_t channels = 0, height = 0, width = 0;
  int world = 1;
  double training_seconds = 0;     ///< in steps, over all attempts
  std::int64_t skipped_steps = 0;  ///< for values that were not finite
  std::string program_version;     ///< that saved it; for people
};

[[nodiscard]] std::string to_json(const RunState& state);
/// Throws: CheckpointError; `label` names the checkpoint.
[[nodiscard]] RunState parse_state(const std::string& json, const std::string& label);

/// Tensors in their logical (C order) layout, with the memory that their views point to.
class StagedState {
 public:
  StagedState(engine::Engine& engine, const RunState& state);
  [[nodiscard]] const checkpoints::Contents& contents() const { return contents_; }

 private:
  void stage(const char* file, const std::vector<engine::StateTensor>& tensors);
  std::vector<at::Tensor> memory_;
  checkpoints::Contents contents_;
};

/// Copies every tensor of the checkpoint into the engine. Throws: CheckpointError listing the first
/// differences in names, shapes and types; then nothing was copied.
void restore_engine(engine::Engine& engine, const checkpoints::Loaded& loaded);

/// The weights a trained model is used with: averages where there are some, else weights.
/// Throws: CheckpointError.
void restore_model(objectives::Objective& objective, const checkpoints::Loaded& loaded);

}  // namespace atelier::loop
