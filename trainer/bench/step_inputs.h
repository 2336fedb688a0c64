// Made-up images for the step benchmark, and a file that lets another program train on the very
// same ones from the very same weights. Thread safety: values; one thread.
#pragma once

#include <cstdint>
#include <vector>

#include <torch/torch.h>

#include "launch/base/file_system.h"
#include "trainer/engine/engine.h"
#include "trainer/loop/config.h"
#include "trainer/networks/geometry.h"

namespace atelier::bench {

/// Bytes of the images of some slots, a function of (stream, step, slot) alone; they repeat every
/// kSteps steps. Shapes: [count, H, W, C].
inline constexpr std::int64_t kInputSteps = 10;
[[nodiscard]] std::vector<std::uint8_t> made_up_images(const networks::Geometry& geometry,
                                                       int stream, std::int64_t step,
                                                       std::int64_t first_slot, std::int64_t count);

/// Writes to `folder`: weights.safetensors, the initial weights of all nets, and inputs.safetensors
/// with images.<stream> [steps, batch, H, W, C] uint8 and latents, discriminator_latents,
/// posterior [steps, batch, latent] of the first kInputSteps steps, all ranks' slots.
/// Throws: IoError.
void write_inputs(FileSystem& files, const Path& folder, engine::Engine& engine,
                  const loop::RunConfig& config, const networks::Geometry& geometry, int streams);

}  // namespace atelier::bench
