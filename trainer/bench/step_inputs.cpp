#include "trainer/bench/step_inputs.h"

#include <span>

#include "checkpoints/safetensors.h"
#include "launch/base/error.h"
#include "launch/base/random.h"
#include "launch/base/text.h"

namespace atelier::bench {
namespace {

constexpr std::size_t kCoarse = 32;  // bytes in a row that have a level in common

checkpoints::DType dtype_of(at::ScalarType type) {
  if (type == at::kByte) return checkpoints::DType::kU8;
  ATELIER_CHECK(type == at::kFloat, "inputs are bytes and floats");
  return checkpoints::DType::kF32;
}

struct Named {
  std::string name;
  at::Tensor value;  ///< contiguous
};

void write(FileSystem& files, const Path& path, const std::vector<Named>& tensors) {
  std::vector<checkpoints::TensorView> views;
  for (const Named& tensor : tensors) {
    checkpoints::TensorView view;
    view.name = tensor.name;
    view.dtype = dtype_of(tensor.value.scalar_type());
    view.shape = tensor.value.sizes().vec();
    view.bytes = {static_cast<const std::byte*>(tensor.value.data_ptr()), tensor.value.nbytes()};
    views.push_back(view);
  }
  const auto file = files.create(path);
  checkpoints::SafetensorsImage(views).write(
      [&](std::span<const std::byte> bytes) { file->append(bytes); });
  file->close();
}

at::Tensor all_latents(const loop::RunConfig& config, Stream stream) {
  std::vector<at::Tensor> steps;
  for (std::int64_t step = 0; step < kInputSteps; ++step) {
    steps.push_back(objectives::normal({.seed = static_cast<std::uint64_t>(config.train.seed),
                                        .step = step,
                                        .first_slot = 0,
                                        .local_batch = config.train.batch,
                                        .global_batch = config.train.batch},
                                       stream, config.model.latent, torch::kFloat));
  }
  return torch::stack(steps).contiguous();
}

at::Tensor all_images(const loop::RunConfig& config, const networks::Geometry& geometry,
                      int stream) {
  at::Tensor all = torch::empty(
      {kInputSteps, config.train.batch, geometry.height, geometry.width, geometry.channels},
      torch::kByte);
  for (std::int64_t step = 0; step < kInputSteps; ++step) {
    const auto bytes = made_up_images(geometry, stream, step, 0, config.train.batch);
    std::copy(bytes.begin(), bytes.end(), all[step].data_ptr<std::uint8_t>());
  }
  return all;
}

}  // namespace

std::vector<std::uint8_t> made_up_images(const networks::Geometry& geometry, int stream,
                                         std::int64_t step, std::int64_t first_slot,
                                         std::int64_t count) {
  const auto values = static_cast<std::size_t>(geometry.values());
  std::vector<std::uint8_t> bytes(values * static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::uint64_t slot = static_cast<std::uint64_t>(first_slot) + i / values;
    const auto round = static_cast<std::uint64_t>(step % kInputSteps);
    const std::uint64_t image =
        mix64((slot * kInputSteps + round) * 2 + static_cast<std::uint64_t>(stream));
    const std::uint64_t coarse = mix64(image + i % values / kCoarse);
    const std::uint64_t fine = mix64(image ^ (i % values << 8U));
    bytes[i] = static_cast<std::uint8_t>((coarse & 127U) + (fine & 127U));
  }
  return bytes;
}

void write_inputs(FileSystem& files, const Path& folder, engine::Engine& engine,
                  const loop::RunConfig& config, const networks::Geometry& geometry, int streams) {
  files.create_directories(folder);
  std::vector<Named> weights;
  for (const auto& net : engine.nets()) {
    for (const engine::StateTensor& tensor : net->weight_state()) {
      weights.push_back({tensor.name, tensor.value.detach().contiguous()});
    }
  }
  write(files, folder / "weights.safetensors", weights);
  std::vector<Named> inputs;
  for (int stream = 0; stream < streams; ++stream) {
    inputs.push_back({text("images.", stream), all_images(config, geometry, stream)});
  }
  inputs.push_back({"latents", all_latents(config, Stream::kLatents)});
  inputs.push_back({"discriminator_latents", all_latents(config, Stream::kDiscriminatorLatents)});
  inputs.push_back({"posterior", all_latents(config, Stream::kPosterior)});
  write(files, folder / "inputs.safetensors", inputs);
}

}  // namespace atelier::bench
