#include "data/glyphs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numbers>
#include <string>
#include <vector>

#include "data/dataset_writer.h"
#include "launch/base/error.h"
#include "launch/base/random.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

/// In a box of width 1 and height 1.5, y downwards, centred on (0, 0).
struct Point {
  double x;
  double y;
};
using Stroke = std::vector<Point>;

constexpr double kHalfWidth = 0.5;
constexpr double kHalfHeight = 0.75;

void add_arc(Stroke& stroke, Point centre, Point radii, double from, double to) {
  constexpr int kPieces = 14;
  for (int i = 0; i <= kPieces; ++i) {
    const double angle = (from + (to - from) * i / kPieces) * 2 * std::numbers::pi;
    stroke.push_back({centre.x + radii.x * std::cos(angle), centre.y + radii.y * std::sin(angle)});
  }
}

// Angles in turns, clockwise as y points down: 0 is right, 1/4 down.
std::vector<Stroke> strokes_of(std::size_t digit) {
  std::vector<Stroke> strokes(1);
  Stroke& pen = strokes[0];
  const double w = kHalfWidth;
  const double h = kHalfHeight;
  switch (digit) {
    case 0:
      add_arc(pen, {0, 0}, {w, h}, 0, 1);
      break;
    case 1:
      pen = {{-0.25, -h + 0.3}, {0.05, -h}, {0.05, h}};
      break;
    case 2:
      add_arc(pen, {0, -h + w * 0.9}, {w, w * 0.9}, -0.48, 0.1);
      pen.insert(pen.end(), {{-w, h}, {w, h}});
      break;
    case 3:
      add_arc(pen, {-0.05, -0.37}, {0.42, 0.38}, -0.42, 0.25);
      strokes.emplace_back();
      add_arc(strokes[1], {-0.05, 0.37}, {0.47, 0.38}, -0.25, 0.42);
      break;
    case 4:
      pen = {{0.2, h}, {0.2, -h}, {-w, 0.3}, {w, 0.3}};
      break;
    case 5:
      pen = {{w * 0.8, -h}, {-w * 0.8, -h}, {-w * 0.85, -0.1}};
      add_arc(pen, {-0.03, 0.28}, {0.48, 0.46}, -0.38, 0.4);
      break;
    case 6:
      pen = {{0.3, -h}, {-0.2, -0.35}};
      add_arc(pen, {0, 0.3}, {w * 0.9, h - 0.3}, -0.45, 0.56);
      break;
    case 7:
      pen = {{-w, -h}, {w, -h}, {-0.15, h}};
      break;
    case 8:
      add_arc(pen, {0, -0.38}, {0.38, 0.36}, 0.25, 1.25);
      add_arc(pen, {0, 0.37}, {0.47, 0.38}, -0.25, 0.75);
      break;
    default:
      add_arc(pen, {0, -0.3}, {w * 0.9, h - 0.3}, 0.05, 1.0);
      pen.push_back({w * 0.75, h});
      break;
  }
  return strokes;
}

/// How one glyph is written. Units: pixels, radians.
struct Hand {
  Point centre;
  double scale;
  double stretch;  ///< of the width
  double slant;
  double angle;
  double half_pen;
  double bend;  ///< how far the middle of the glyph is pushed aside
  double ink;   ///< 0 to 1
};

Hand hand_of(const GlyphsOptions& options, std::uint64_t id, std::uint64_t channel) {
  std::array<float, 9> u{};
  fill_uniform({.seed = options.seed, .stream = Stream::kShapes, .major = 1 + channel, .minor = id},
               u);
  const double side = options.side;
  const auto between = [&](std::size_t i, double low, double high) {
    return low + (high - low) * u.at(i);
  };
  Hand hand{};
  hand.scale = side * between(0, 0.40, 0.52);
  hand.stretch = between(1, 0.75, 1.1);
  hand.slant = between(2, -0.25, 0.35);
  hand.angle = between(3, -0.2, 0.2);
  hand.half_pen = side * between(4, 0.028, 0.062);
  hand.bend = between(5, -0.12, 0.12);
  const double room = side * 0.07;
  hand.centre = {side / 2 + between(6, -room, room), side / 2 + between(7, -room, room)};
  hand.ink = between(8, 0.8, 1.0);
  return hand;
}

Point written(Point p, const Hand& hand) {
  const double bent = p.x + hand.bend * std::cos(p.y / kHalfHeight * std::numbers::pi / 2) * 2;
  const double x = (bent * hand.stretch - hand.slant * p.y) * hand.scale;
  const double y = p.y * hand.scale;
  const double cosine = std::cos(hand.angle);
  const double sine = std::sin(hand.angle);
  return {hand.centre.x + cosine * x - sine * y, hand.centre.y + sine * x + cosine * y};
}

double distance_to(Point p, Point a, Point b) {
  const Point along{b.x - a.x, b.y - a.y};
  const double squared = along.x * along.x + along.y * along.y;
  const double t =
      squared == 0
          ? 0
          : std::clamp(((p.x - a.x) * along.x + (p.y - a.y) * along.y) / squared, 0.0, 1.0);
  return std::hypot(p.x - a.x - t * along.x, p.y - a.y - t * along.y);
}

/// `step`: bytes from a pixel to the next.
void draw(const GlyphsOptions& options, std::size_t digit, const Hand& hand, std::uint8_t* out,
          std::size_t step) {
  std::vector<Stroke> strokes = strokes_of(digit);
  for (Stroke& stroke : strokes)
    for (Point& point : stroke) point = written(point, hand);
  for (int row = 0; row < options.side; ++row) {
    for (int column = 0; column < options.side; ++column, out += step) {
      const Point pixel{column + 0.5, row + 0.5};
      double nearest = 1e9;
      for (const Stroke& stroke : strokes) {
        for (std::size_t i = 1; i < stroke.size(); ++i)
          nearest = std::min(nearest, distance_to(pixel, stroke[i - 1], stroke[i]));
      }
      const double cover = std::clamp(hand.half_pen + 0.5 - nearest, 0.0, 1.0);
      *out = static_cast<std::uint8_t>(std::lround(cover * hand.ink * 255));
    }
  }
}

void check(const GlyphsOptions& options) {
  constexpr int kSmallest = 16;
  constexpr std::uint64_t kMost = std::uint64_t{1} << 32U;
  if (options.side < kSmallest || options.side > kMaxImageSide || options.train == 0 ||
      options.train > kMost || options.test > kMost) {
    throw ConfigError(text("Cannot make ", options.train, " + ", options.test, " glyphs of ",
                           options.side, " pixels a side."),
                      "Choose 1 to 2^32 training images and sides of 16 to 16384 pixels.");
  }
}

}  // namespace

std::int64_t render_glyph(const GlyphsOptions& options, std::uint64_t id,
                          std::span<std::uint8_t> pixels) {
  const std::size_t channels = options.stacked ? 3 : 1;
  std::int64_t label = 0;
  std::array<std::uint64_t, 3> digits{id % kGlyphClasses};
  if (options.stacked) {
    for (std::size_t c = 0; c < channels; ++c) {
      const RandomKey key{
          .seed = options.seed, .stream = Stream::kShapes, .major = 16 + c, .minor = id};
      digits.at(c) = uniform_below(key, kGlyphClasses);
    }
  }
  for (std::size_t c = 0; c < channels; ++c) {
    const std::size_t digit = digits.at(c);
    label = label * static_cast<std::int64_t>(kGlyphClasses) + static_cast<std::int64_t>(digit);
    draw(options, digit, hand_of(options, id, c), pixels.data() + c, channels);
  }
  return label;
}

Manifest make_glyphs(FileSystem& files, const Clock& clock, const GlyphsOptions& options) {
  check(options);
  StagingFolder staging(files, options.out);
  std::array<std::vector<std::uint64_t>, 3> ids;
  for (std::uint64_t id = 0; id < options.train; ++id) {
    const bool hold = held_out(id) && options.train > 1;
    ids.at(index_of(hold ? Split::kValid : Split::kTrain)).push_back(id);
  }
  if (ids[0].empty()) std::swap(ids[0], ids[1]);
  for (std::uint64_t i = 0; i < options.test; ++i)
    ids.at(index_of(Split::kTest)).push_back(options.train + i);
  DatasetPlan plan;
  plan.shape = {options.side, options.side, options.stacked ? 3 : 1};
  const int classes = options.stacked ? 1000 : 10;
  for (int i = 0; i < classes; ++i) {
    const std::string digits = std::to_string(i);
    plan.class_names.push_back(std::string((options.stacked ? 3 : 1) - digits.size(), '0') +
                               digits);
  }
  for (std::size_t i = 0; i < ids.size(); ++i) plan.samples.at(i) = ids.at(i).size();
  plan.packing = {options.storage};
  plan.shard_bytes = options.shard_bytes;
  plan.valid_from_train = true;
  plan.source = text(options.stacked ? "stacked glyphs" : "glyphs", ", seed ", options.seed);
  const std::size_t bytes = plan.shape.bytes();
  const auto fill = [&](const RowBlock& block) {
    for (std::uint64_t i = 0; i < block.count; ++i) {
      const std::uint64_t id = ids.at(index_of(block.split)).at(block.first + i);
      auto* const pixels =
          reinterpret_cast<std::uint8_t*>(block.tables[kImages].data()) + i * bytes;
      const std::int64_t label = render_glyph(options, id, {pixels, bytes});
      std::memcpy(&block.tables[kLabels][i * sizeof(label)], &label, sizeof(label));
      std::memcpy(&block.tables[kIds][i * sizeof(id)], &id, sizeof(id));
    }
  };
  Manifest manifest = write_dataset(files, clock, staging, plan, fill);
  staging.publish();
  return manifest;
}

}  // namespace atelier::data
