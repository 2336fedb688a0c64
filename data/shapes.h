// The rendered dataset: one anti-aliased, rotated, coloured shape on a quiet background per image,
// in six balanced classes, with every factor known. Image i is a pure function of (seed, i), so the
// set needs no download and can have any size. Thread safety: pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/layout.h"
#include "data/manifest.h"
#include "launch/base/clock.h"
#include "launch/base/file_system.h"

namespace atelier::data {

inline constexpr std::array<const char*, 6> kShapeClasses{"disc",     "ring", "square",
                                                          "triangle", "star", "cross"};
/// Columns of the table "factors" (f32): x, y and scale in units of the shorter side (scale:
/// radius), angle in radians within the symmetry of the shape, hues in [0, 1).
inline constexpr std::array<const char*, 7> kShapeFactors{
    "class", "x", "y", "scale", "angle", "hue", "background_hue"};

struct ShapesOptions {
  Path out = {};
  std::uint64_t train = 20000;  ///< 5 % of them become `valid`
  std::uint64_t test = 2000;
  int height = 32;
  int width = 32;
  int channels = 3;
  std::uint64_t seed = 1;
  std::uint64_t shard_bytes = 256U << 20U;
};

/// Renders image `id`. Shapes: pixels [H, W, C], factors [7].
void render_shape(const ShapesOptions& options, std::uint64_t id, std::span<std::uint8_t> pixels,
                  std::span<float> factors);

/// Writes the dataset folder `options.out`. Throws: OutputError when it exists; ConfigError;
/// IoError.
Manifest make_shapes(FileSystem& files, const Clock& clock, const ShapesOptions& options);

}  // namespace atelier::data
