// The other rendered dataset: digits drawn with a pen, each stroke curve bent, slanted, turned,
// thick or thin in its own way. One digit an image, in ten classes; or three, one in each colour
// channel, in a thousand: the modes that a generator has to find (Metz et al. 2017, "Unrolled
// GANs", §3.3.1 stack MNIST's digits so). Image i is a pure function of (seed, i). Thread safety:
// pure functions.
#pragma once

#include <cstdint>
#include <span>

#include "data/manifest.h"
#include "launch/base/clock.h"
#include "launch/base/file_system.h"

namespace atelier::data {

inline constexpr std::size_t kGlyphClasses = 10;

struct GlyphsOptions {
  Path out = {};
  std::uint64_t train = 20000;  ///< 5 % of them become `valid`
  std::uint64_t test = 2000;
  int side = 32;         ///< pixels
  bool stacked = false;  ///< three digits in the colour channels, label 100 a + 10 b + c
  std::uint64_t seed = 1;
  Storage storage = Storage::kRaw;  ///< or deflate
  std::uint64_t shard_bytes = 256U << 20U;
};

/// Renders image `id` and returns its label. Shapes: pixels [side, side, 1 or 3].
std::int64_t render_glyph(const GlyphsOptions& options, std::uint64_t id,
                          std::span<std::uint8_t> pixels);

/// Writes the dataset folder `options.out`. Throws: OutputError when it exists; ConfigError;
/// IoError.
Manifest make_glyphs(FileSystem& files, const Clock& clock, const GlyphsOptions& options);

}  // namespace atelier::data
