#include "data/resize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <optional>
#include <vector>

#include "launch/base/clones.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr int kFractionBits = 14;
constexpr std::int32_t kOne = 1 << kFractionBits;

/// One output: weights (summing to kOne, each less than 2 kOne) of inputs from `first` on. 16 bits:
/// processors then multiply many at once.
struct Taps {
  std::size_t first = 0;
  std::vector<std::int16_t> weights;
};

/// `extent` inputs of a line of `size`, from `from` on, become `out` outputs.
struct Stretch {
  Filter filter;
  double from;
  double extent;
  std::size_t size;
  int out;
  bool operator==(const Stretch&) const = default;
};

double lanczos3(double x) {
  if (x < 1e-9) return 1.0;
  const double angle = std::numbers::pi * x;
  return 3.0 * std::sin(angle) * std::sin(angle / 3.0) / (angle * angle);
}

double support_of(Filter filter) {
  if (filter == Filter::kLanczos) return 3.0;
  return filter == Filter::kBox ? 0.5 : 1.0;
}

// Of an input `x` pixels away.
double weight_of(Filter filter, double x) {
  // A box ends on one side before an input, on the other with it: each belongs to one box. Which
  // side that is, Pillow decided.
  if (filter == Filter::kBox) return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
  x = std::abs(x);
  if (x >= support_of(filter)) return 0.0;
  return filter == Filter::kLanczos ? lanczos3(x) : 1.0 - x;
}

std::vector<Taps> taps_of(const Stretch& stretch) {
  const auto& [filter, from, extent, size, out] = stretch;
  const double scale = extent / out;
  const double widen = std::max(scale, 1.0);
  const double narrow = 1.0 / widen;
  const double support = support_of(filter) * widen;
  std::vector<Taps> all;
  for (int i = 0; i < out; ++i) {
    const double centre = from + (i + 0.5) * scale;
    // Inputs whose centres the kernel covers; at its very ends rounding decides.
    const auto first = static_cast<std::size_t>(std::max(0.0, std::floor(centre - support + 0.5)));
    const auto end = std::min(size, static_cast<std::size_t>(std::floor(centre + support + 0.5)));
    std::vector<double> weights;
    double sum = 0;
    for (std::size_t at = first; at < end; ++at) {
      weights.push_back(weight_of(filter, (static_cast<double>(at) - centre + 0.5) * narrow));
      sum += weights.back();
    }
    Taps taps{first, {}};
    std::int32_t total = 0;
    for (const double weight : weights) {
      taps.weights.push_back(static_cast<std::int16_t>(std::lround(weight / sum * kOne)));
      total += taps.weights.back();
    }
    // Rounding must not change the brightness of a flat area: the heaviest weight takes the rest.
    std::int16_t& heaviest = *std::max_element(taps.weights.begin(), taps.weights.end());
    heaviest = static_cast<std::int16_t>(heaviest + kOne - total);
    all.push_back(std::move(taps));
  }
  return all;
}

std::uint8_t rounded(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp((sum + kOne / 2) >> kFractionBits, 0, 255));
}

// Images of a collection often have one size: a thread keeps the last taps of either direction.
const std::vector<Taps>& kept_taps(const Stretch& stretch, bool of_rows) {
  struct Kept {
    std::optional<Stretch> stretch;
    std::vector<Taps> taps;
  };
  thread_local std::array<Kept, 2> all;
  Kept& kept = all.at(of_rows ? 0 : 1);
  if (kept.stretch != stretch) {
    kept.taps = taps_of(stretch);
    kept.stretch = stretch;
  }
  return kept.taps;
}

// A value of each of as many rows, side by side: what happens to one happens to all at once.
using SixteenRows = std::array<std::int16_t, 16>;

ATELIER_CLONES void weighted_sums(const Taps& taps, const SixteenRows* in, std::size_t step,
                                  std::array<std::uint8_t, SixteenRows{}.size()>& out) {
  std::array<std::int32_t, SixteenRows{}.size()> sums{};
  const SixteenRows* from = in + taps.first * step;
  for (const std::int16_t weight : taps.weights) {
    for (std::size_t row = 0; row < sums.size(); ++row) sums[row] += weight * (*from)[row];
    from += step;
  }
  for (std::size_t row = 0; row < sums.size(); ++row) out[row] = rounded(sums[row]);
}

Image resample_rows(const Image& image, const std::vector<Taps>& taps) {
  Image out{{image.shape.height, static_cast<int>(taps.size()), image.shape.channels}, {}};
  out.pixels.resize(out.shape.bytes());
  const auto rows = static_cast<std::size_t>(image.shape.height);
  const auto channels = static_cast<std::size_t>(image.shape.channels);
  const std::size_t in_row = image.pixels.size() / rows;
  const std::size_t out_row = out.pixels.size() / rows;
  std::vector<SixteenRows> side_by_side(in_row);
  std::array<std::uint8_t, SixteenRows{}.size()> resampled{};
  for (std::size_t first = 0; first < rows; first += resampled.size()) {
    const std::size_t count = std::min(resampled.size(), rows - first);
    for (std::size_t row = 0; row < count; ++row) {
      const std::uint8_t* const from = &image.pixels[(first + row) * in_row];
      for (std::size_t x = 0; x < in_row; ++x) side_by_side[x][row] = from[x];
    }
    for (std::size_t x = 0; x < out_row; ++x) {
      weighted_sums(taps[x / channels], &side_by_side[x % channels], channels, resampled);
      for (std::size_t row = 0; row < count; ++row)
        out.pixels[(first + row) * out_row + x] = resampled[row];
    }
  }
  return out;
}

ATELIER_CLONES void add_row(std::int16_t weight, const std::uint8_t* from,
                            std::vector<std::int32_t>& sums) {
  std::int32_t* const to = sums.data();
  const std::size_t count = sums.size();
  for (std::size_t x = 0; x < count; ++x) to[x] += weight * std::int16_t{from[x]};
}

// A whole row at a time: its values lie side by side.
Image resample_columns(const Image& image, const std::vector<Taps>& taps) {
  Image out{{static_cast<int>(taps.size()), image.shape.width, image.shape.channels}, {}};
  out.pixels.resize(out.shape.bytes());
  const std::size_t row = out.pixels.size() / taps.size();
  std::vector<std::int32_t> sums(row);
  for (std::size_t y = 0; y < taps.size(); ++y) {
    std::fill(sums.begin(), sums.end(), 0);
    const std::uint8_t* from = &image.pixels[taps[y].first * row];
    for (const std::int16_t weight : taps[y].weights) {
      add_row(weight, from, sums);
      from += row;
    }
    std::transform(sums.begin(), sums.end(), &out.pixels[y * row], rounded);
  }
  return out;
}

/// The part of an image that becomes all of another. Units: pixels.
struct Part {
  double height;
  double width;
};

Image scaled(const Image& image, const Part& part, const Geometry& to) {
  const auto rows = static_cast<std::size_t>(image.shape.height);
  const auto columns = static_cast<std::size_t>(image.shape.width);
  const double left = (image.shape.width - part.width) / 2;
  const double top = (image.shape.height - part.height) / 2;
  const Stretch across{to.filter, left, part.width, columns, to.width};
  const Stretch down{to.filter, top, part.height, rows, to.height};
  return resample_columns(resample_rows(image, kept_taps(across, true)), kept_taps(down, false));
}

Image centred_on_black(const Image& image, int height, int width) {
  Image out{{height, width, image.shape.channels}, {}};
  out.pixels.resize(out.shape.bytes());
  const auto channels = static_cast<std::size_t>(image.shape.channels);
  const auto row_bytes = static_cast<std::size_t>(image.shape.width) * channels;
  const auto left = static_cast<std::size_t>((width - image.shape.width) / 2) * channels;
  const auto top = static_cast<std::size_t>((height - image.shape.height) / 2);
  for (std::size_t y = 0; y < static_cast<std::size_t>(image.shape.height); ++y) {
    std::copy_n(&image.pixels[y * row_bytes], row_bytes,
                &out.pixels[(top + y) * static_cast<std::size_t>(width) * channels + left]);
  }
  return out;
}

}  // namespace

Image resized(const Image& image, const Geometry& to) {
  ATELIER_CHECK(to.height > 0 && to.width > 0, text("resize to ", to.height, " x ", to.width));
  if (image.shape.height == to.height && image.shape.width == to.width) return image;
  const double height = image.shape.height;
  const double width = image.shape.width;
  const double by_height = height / to.height;
  const double by_width = width / to.width;
  switch (to.fit) {
    case Fit::kCrop: {
      const double zoom = std::min(by_height, by_width);
      return scaled(image, {zoom * to.height, zoom * to.width}, to);
    }
    case Fit::kPad: {
      const double zoom = std::max(by_height, by_width);
      Geometry inner = to;
      inner.height = std::clamp(static_cast<int>(std::lround(height / zoom)), 1, to.height);
      inner.width = std::clamp(static_cast<int>(std::lround(width / zoom)), 1, to.width);
      return centred_on_black(scaled(image, {height, width}, inner), to.height, to.width);
    }
    case Fit::kStretch:
      break;
  }
  return scaled(image, {height, width}, to);
}

Image with_channels(Image image, int channels) {
  if (image.shape.channels == channels) return image;
  Image out{{image.shape.height, image.shape.width, channels}, {}};
  out.pixels.resize(out.shape.bytes());
  const std::size_t pixels = out.pixels.size() / static_cast<std::size_t>(channels);
  for (std::size_t i = 0; i < pixels; ++i) {
    if (channels == 3) {
      std::fill_n(&out.pixels[i * 3], 3, image.pixels[i]);
    } else {
      const std::uint8_t* rgb = &image.pixels[i * 3];
      out.pixels[i] = static_cast<std::uint8_t>(
          (19595U * rgb[0] + 38470U * rgb[1] + 7471U * rgb[2] + 32768U) >> 16U);
    }
  }
  return out;
}

Image mirrored(const Image& image) {
  Image out = image;
  const auto channels = static_cast<std::size_t>(image.shape.channels);
  const auto width = static_cast<std::size_t>(image.shape.width);
  for (std::size_t i = 0; i < image.pixels.size() / channels; ++i) {
    const std::size_t from = i - i % width + (width - 1 - i % width);
    std::copy_n(&image.pixels[from * channels], channels, &out.pixels[i * channels]);
  }
  return out;
}

}  // namespace atelier::data
