#include "trainer/loop/state.h"

#include <cstring>
#include <map>

#include <nlohmann/json.hpp>

#include "data/order.h"
#include "launch/base/error.h"
#include "launch/base/json.h"
#include "launch/base/text.h"

namespace atelier::loop {
namespace {

using checkpoints::DType;
using engine::StateTensor;

DType dtype_of(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return DType::kF32;
    case at::kDouble:
      return DType::kF64;
    case at::kLong:
      return DType::kI64;
    default:
      fail_check("dtype", text("checkpoints hold no tensors of type ", c10::toString(type)));
  }
}

checkpoints::TensorSpec spec_of(const StateTensor& tensor) {
  checkpoints::TensorSpec spec;
  spec.name = tensor.name;
  spec.dtype = dtype_of(tensor.value.scalar_type());
  spec.shape = tensor.value.sizes().vec();
  return spec;
}

std::vector<StateTensor> weights_of(engine::Engine& engine) {
  std::vector<StateTensor> all;
  for (const auto& net : engine.nets()) {
    for (StateTensor& tensor : net->weight_state()) all.push_back(std::move(tensor));
  }
  return all;
}

std::vector<StateTensor> averages_of(engine::Engine& engine) {
  std::vector<StateTensor> all;
  for (const auto& net : engine.nets()) {
    for (StateTensor& tensor : net->average_state()) all.push_back(std::move(tensor));
  }
  return all;
}

std::vector<StateTensor> optimizer_of(engine::Engine& engine) {
  std::vector<StateTensor> all;
  for (const auto& net : engine.nets()) {
    for (StateTensor& tensor : net->optimizer_state()) all.push_back(std::move(tensor));
  }
  return all;
}

void require_same_shapes(const std::vector<StateTensor>& expected,
                         const checkpoints::SafetensorsFile& found, const std::string& label) {
  std::vector<checkpoints::TensorSpec> specs;
  for (const StateTensor& tensor : expected) specs.push_back(spec_of(tensor));
  const std::string differences =
      checkpoints::compare_shapes(specs, checkpoints::specs_of(found.tensors()));
  if (differences.empty()) return;
  throw CheckpointError(
      text("'", label, "' does not fit the model that the configuration builds:\n", differences),
      "Use the configuration the run was started with.");
}

void copy_in(const StateTensor& target, const checkpoints::TensorView& source) {
  at::Tensor values = torch::empty(target.value.sizes(), target.value.scalar_type());
  ATELIER_CHECK(values.nbytes() == source.bytes.size(), "shapes were compared before");
  std::memcpy(values.data_ptr(), source.bytes.data(), source.bytes.size());
  const torch::NoGradGuard no_grad;
  target.value.copy_(values);
}

// Absent in checkpoints of programs that knew one plan only.
engine::BucketPlan buckets_of(const nlohmann::json& state) {
  engine::BucketPlan plan;
  if (!state.contains("buckets")) return plan;
  const nlohmann::json& buckets = state.at("buckets");
  plan.bytes = buckets.at("bytes").get<std::int64_t>();
  plan.overlap = buckets.at("overlap").get<bool>();
  return plan;
}

void copy_all(const std::vector<StateTensor>& targets, const checkpoints::SafetensorsFile& file) {
  for (const StateTensor& target : targets) copy_in(target, file.tensor(target.name));
}

}  // namespace

std::string to_json(const RunState& state) {
  const nlohmann::ordered_json json{
      {"format_version", "1.0"},
      {"step", state.step},
      {"images", state.images},
      {"precision", state.precision},
      {"buckets",
       {{"bytes", state.buckets.bytes},
        {"overlap", state.buckets.overlap},
        {"measured", state.buckets_measured}}},
      {"dataset_id", state.dataset_id},
      {"image", {{"channels", state.channels}, {"height", state.height}, {"width", state.width}}},
      {"world", state.world},
      {"training_seconds", state.training_seconds},
      {"skipped_steps", state.skipped_steps},
      {"program_version", state.program_version},
      {"order_version", data::Order::kVersion},
      {"config", state.config},
      {"config_toml", state.config_toml}};
  return json.dump(1) + "\n";
}

RunState parse_state(const std::string& json, const std::string& label) {
  try {
    const nlohmann::json parsed = parse_json_strict(json, label);
    if (const int order = parsed.value("order_version", 1); order != data::Order::kVersion) {
      throw CheckpointError(
          text("'", label, "' was saved with sample order ", order, ", this program has order ",
               data::Order::kVersion, ": the images to come would be others."),
          "Go on with the program that started the run.");
    }
    return {.step = parsed.at("step").get<std::int64_t>(),
            .images = parsed.at("images").get<std::int64_t>(),
            .precision = parsed.at("precision").get<std::string>(),
            .buckets = buckets_of(parsed),
            .buckets_measured =
                parsed.contains("buckets") && parsed.at("buckets").at("measured").get<bool>(),
            .config = parsed.at("config").get<std::string>(),
            .config_toml = parsed.at("config_toml").get<std::string>(),
            .dataset_id = parsed.at("dataset_id").get<std::string>(),
            .channels = parsed.at("image").at("channels").get<std::int64_t>(),
            .height = parsed.at("image").at("height").get<std::int64_t>(),
            .width = parsed.at("image").at("width").get<std::int64_t>(),
            .world = parsed.at("world").get<int>(),
            .training_seconds = parsed.at("training_seconds").get<double>(),
            .skipped_steps = parsed.at("skipped_steps").get<std::int64_t>(),
            .program_version = parsed.value("program_version", "")};
  } catch (const nlohmann::json::exception& error) {
    throw CheckpointError(text("'", label, "' is not the state of a run: ", error.what(), "."));
  }
}

StagedState::StagedState(engine::Engine& engine, const RunState& state) {
  contents_.step = state.step;
  contents_.state_json = to_json(state);
  stage(kWeightsFile, weights_of(engine));
  stage(kAverageFile, averages_of(engine));
  stage(kOptimizerFile, optimizer_of(engine));
}

void StagedState::stage(const char* file, const std::vector<StateTensor>& tensors) {
  checkpoints::NamedFile named{.name = file, .tensors = {}, .metadata = {{"format", "pt"}}};
  for (const StateTensor& tensor : tensors) {
    // A copy in C order: the views are channels_last, and training may go on while files are
    // written.
    at::Tensor copy = tensor.value.detach().to(
        torch::TensorOptions(tensor.value.scalar_type()).device(torch::kCPU), false, true,
        at::MemoryFormat::Contiguous);
    checkpoints::TensorView view;
    static_cast<checkpoints::TensorSpec&>(view) = spec_of(tensor);
    view.bytes = {static_cast<const std::byte*>(copy.data_ptr()), copy.nbytes()};
    named.tensors.push_back(std::move(view));
    memory_.push_back(std::move(copy));
  }
  contents_.files.push_back(std::move(named));
}

void restore_engine(engine::Engine& engine, const checkpoints::Loaded& loaded) {
  const std::vector<std::pair<const char*, std::vector<StateTensor>>> parts{
      {kWeightsFile, weights_of(engine)},
      {kAverageFile, averages_of(engine)},
      {kOptimizerFile, optimizer_of(engine)}};
  for (const auto& [file, tensors] : parts) {
    require_same_shapes(tensors, loaded.file(file), (loaded.directory / file).string());
  }
  for (const auto& [file, tensors] : parts) copy_all(tensors, loaded.file(file));
  for (const auto& net : engine.nets()) net->flat().weights_changed();
}

void restore_model(objectives::Objective& objective, const checkpoints::Loaded& loaded) {
  std::vector<StateTensor> weights;
  std::vector<StateTensor> averages;
  for (const objectives::NamedNet& named : objective.nets()) {
    for (const auto& parameter : named.net->named_parameters()) {
      (named.averaged ? averages : weights)
          .push_back({text(named.name, ".", parameter.key()), parameter.value()});
    }
  }
  copy_all(weights, loaded.file(kWeightsFile));
  copy_all(averages, loaded.file(kAverageFile));
}

}  // namespace atelier::loop
