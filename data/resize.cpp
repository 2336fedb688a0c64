#include "data/resize.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr int kFractionBits = 14;
constexpr std::int32_t kOne = 1 << kFractionBits;

/// One output sample: weights (summing to kOne) of inputs from `first` on.
struct Taps {
  std::size_t first = 0;
  std::vector<std::int32_t> weights;
};

/// A line of pixels through an image: how many, and the distance between neighbours.
struct Lines {
  std::size_t count;
  std::size_t step;
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

// `from` + `extent` inputs of a line of `size` become `out` outputs.
std::vector<Taps> taps_of(Filter filter, double from, double extent, std::size_t size, int out) {
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
      taps.weights.push_back(static_cast<std::int32_t>(std::lround(weight / sum * kOne)));
      total += taps.weights.back();
    }
    // Rounding must not change the brightness of a flat area: the heaviest weight takes the rest.
    *std::max_element(taps.weights.begin(), taps.weights.end()) += kOne - total;
    all.push_back(std::move(taps));
  }
  return all;
}

std::uint8_t rounded(std::int64_t sum) {
  return static_cast<std::uint8_t>(
      std::clamp<std::int64_t>((sum + kOne / 2) >> kFractionBits, 0, 255));
}

/// One direction of a resize: along the lines that are resampled, and across them.
struct Pass {
  Lines along_in;   ///< count: channels; step: from one input of a line to the next
  Lines along_out;  ///< step: from one output to the next
  Lines across;     ///< count: lines; step: from one line of the input to the next
  std::size_t across_out_step;
};

std::int64_t weighted_sum(const Taps& taps, const std::uint8_t* line, std::size_t step) {
  std::int64_t sum = 0;
  const std::uint8_t* from = line + taps.first * step;
  for (const std::int32_t weight : taps.weights) {
    sum += std::int64_t{weight} * *from;
    from += step;
  }
  return sum;
}

// Resamples every row (or, transposed by the strides, every column).
void resample(const std::vector<Taps>& taps, const Pass& pass, const std::uint8_t* in,
              std::uint8_t* out) {
  for (std::size_t line = 0; line < pass.across.count; ++line) {
    for (std::size_t i = 0; i < taps.size(); ++i) {
      for (std::size_t c = 0; c < pass.along_in.count; ++c) {
        const std::uint8_t* const from = in + line * pass.across.step + c;
        out[line * pass.across_out_step + i * pass.along_out.step + c] =
            rounded(weighted_sum(taps[i], from, pass.along_in.step));
      }
    }
  }
}

/// The part of an image that becomes all of another. Units: pixels.
struct Part {
  double height;
  double width;
};

Image scaled(const Image& image, const Part& part, const Geometry& to) {
  const auto channels = static_cast<std::size_t>(image.shape.channels);
  const auto rows = static_cast<std::size_t>(image.shape.height);
  const auto columns = static_cast<std::size_t>(image.shape.width);
  const auto out_columns = static_cast<std::size_t>(to.width);
  const double left = (image.shape.width - part.width) / 2;
  const double top = (image.shape.height - part.height) / 2;

  Image narrow{{image.shape.height, to.width, image.shape.channels}, {}};
  narrow.pixels.resize(narrow.shape.bytes());
  resample(taps_of(to.filter, left, part.width, columns, to.width),
           {.along_in = {channels, channels},
            .along_out = {channels, channels},
            .across = {rows, columns * channels},
            .across_out_step = out_columns * channels},
           image.pixels.data(), narrow.pixels.data());

  Image out{{to.height, to.width, image.shape.channels}, {}};
  out.pixels.resize(out.shape.bytes());
  const std::size_t row_bytes = out_columns * channels;
  resample(taps_of(to.filter, top, part.height, rows, to.height),
           {.along_in = {channels, row_bytes},
            .along_out = {channels, row_bytes},
            .across = {out_columns, channels},
            .across_out_step = channels},
           narrow.pixels.data(), out.pixels.data());
  return out;
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
