// Pictures to look at: images side by side in a grid, originals over their reconstructions, strips,
// panels with a caption for comparison sheets. A picture is a uint8 tensor [H,W,C] on the CPU with
// C 1 or 3. Grey images meet coloured ones as colours. Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <torch/torch.h>

#include "launch/base/file_system.h"

namespace atelier::quality {

struct GridOptions {
  std::int64_t columns = 8;       ///< images a row; the last row may be shorter
  std::int64_t separator = 2;     ///< between images and around them. Units: pixels, not scaled
  std::int64_t scale = 1;         ///< each pixel becomes scale × scale
  std::uint8_t background = 255;  ///< grey level of separators and empty cells
};

/// All images, row by row. Shapes: as pixels.h, N >= 1 → [H',W',C].
[[nodiscard]] torch::Tensor grid(const torch::Tensor& images, const GridOptions& options = {});

/// Each row of originals with their reconstructions below it. Shapes: both as pixels.h, equal size.
[[nodiscard]] torch::Tensor pairs_grid(const torch::Tensor& originals,
                                       const torch::Tensor& reconstructions,
                                       const GridOptions& options = {});

/// One row of images per batch, all of equal size: interpolations, variants of one image.
/// `options.columns` is not used. Shapes: each as pixels.h, N >= 1.
[[nodiscard]] torch::Tensor strips(std::span<const torch::Tensor> batches,
                                   const GridOptions& options = {});

/// The picture under a line of text (printable ASCII), broken at spaces where it is too long.
[[nodiscard]] torch::Tensor with_caption(const torch::Tensor& picture, std::string_view caption,
                                         std::int64_t text_scale = 1);

/// Panels from left to right, tops aligned, on white. Shapes: [H_i,W_i,C_i], at least one.
[[nodiscard]] torch::Tensor side_by_side(std::span<const torch::Tensor> panels,
                                         std::int64_t gap = 8);

/// Panels from top to bottom, left sides aligned, on white.
[[nodiscard]] torch::Tensor stacked(std::span<const torch::Tensor> panels, std::int64_t gap = 8);

/// A scale at which the images are at least about 64 pixels wide: 2 for 32, 1 from 64 on.
[[nodiscard]] std::int64_t visible_scale(std::int64_t image_width);

/// Writes the picture so that `path` holds either what it held before or all of it.
/// Throws: IoError.
void write_picture(FileSystem& files, const Path& path, const torch::Tensor& picture);

}  // namespace atelier::quality
