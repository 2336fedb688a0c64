// The pictures a run leaves in its folder and in TensorBoard: held-out images once, then samples
// and reconstructions from fixed latents and images, so that they can be leafed through.
// Thread safety: one thread; rank 0 alone.
#pragma once

#include <cstdint>

#include "launch/base/file_system.h"
#include "trainer/loop/evaluation.h"
#include "trainer/loop/monitor.h"
#include "trainer/loop/run_folder.h"

namespace atelier::loop {

/// `reals.png` at step 0; `fakesNNNNNN.png`, `reconstructionsNNNNNN.png` as far as the model makes
/// some. Throws: IoError.
void draw_pictures(FileSystem& files, const RunPaths& paths, std::int64_t step,
                   Evaluation& evaluation, Monitor& monitor);

}  // namespace atelier::loop
