#include "data/shapes.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "data/dataset_writer.h"
#include "launch/base/error.h"
#include "launch/base/random.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr double kTurn = 2.0 * std::numbers::pi;
// Number of turns under which a shape looks the same; 0 = any.
constexpr std::array<double, 6> kSymmetry{0, 0, 4, 3, 5, 4};
enum ShapeClass : std::size_t { kDisc, kRing, kSquare, kTriangle, kStar, kCross };

struct Point {
  double x;
  double y;
};

struct Scene {
  std::size_t shape;
  Point centre;  // pixels
  double radius;
  double angle;
  double hue;
  double background_hue;
};

// Corners of the unit shapes; all lie within the unit circle.
std::vector<Point> corners(std::size_t shape) {
  std::vector<Point> out;
  const auto on_circle = [&](double turn, double radius) {
    out.push_back({radius * std::sin(turn * kTurn), -radius * std::cos(turn * kTurn)});
  };
  switch (shape) {
    case kSquare:
      for (int i = 0; i < 4; ++i) on_circle((i + 0.5) / 4.0, 1.0);
      break;
    case kTriangle:
      for (int i = 0; i < 3; ++i) on_circle(i / 3.0, 1.0);
      break;
    case kStar:
      for (int i = 0; i < 10; ++i) on_circle(i / 10.0, i % 2 == 0 ? 1.0 : 0.42);
      break;
    case kCross: {
      constexpr double kArm = 0.32;
      constexpr double kLong = 0.94;
      out = {{-kArm, -kLong}, {kArm, -kLong}, {kArm, -kArm},   {kLong, -kArm},
             {kLong, kArm},   {kArm, kArm},   {kArm, kLong},   {-kArm, kLong},
             {-kArm, kArm},   {-kLong, kArm}, {-kLong, -kArm}, {-kArm, -kArm}};
      break;
    }
    default:
      break;
  }
  return out;
}

double distance_to_edge(Point p, Point a, Point b) {
  const Point along{b.x - a.x, b.y - a.y};
  const Point to{p.x - a.x, p.y - a.y};
  const double t = std::clamp(
      (to.x * along.x + to.y * along.y) / (along.x * along.x + along.y * along.y), 0.0, 1.0);
  return std::hypot(to.x - t * along.x, to.y - t * along.y);
}

// Signed distance to the outline of a polygon: negative inside (even-odd rule).
double polygon_distance(const std::vector<Point>& polygon, Point p) {
  double nearest = 1e9;
  bool inside = false;
  for (std::size_t i = 0; i < polygon.size(); ++i) {
    const Point a = polygon[i];
    const Point b = polygon[(i + 1) % polygon.size()];
    nearest = std::min(nearest, distance_to_edge(p, a, b));
    if ((a.y > p.y) != (b.y > p.y) && p.x < (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x)
      inside = !inside;
  }
  return inside ? -nearest : nearest;
}

// In units of the radius, in the frame of the shape.
double signed_distance(std::size_t shape, const std::vector<Point>& polygon, Point p) {
  constexpr double kRingMiddle = 0.74;
  constexpr double kRingHalf = 0.22;
  const double from_centre = std::hypot(p.x, p.y);
  if (shape == kDisc) return from_centre - 0.92;
  if (shape == kRing) return std::abs(from_centre - kRingMiddle) - kRingHalf;
  return polygon_distance(polygon, p);
}

std::array<double, 3> rgb_of(double hue, double saturation, double value) {
  std::array<double, 3> out{};
  for (std::size_t c = 0; c < 3; ++c) {
    const double k = std::fmod(5.0 - 2.0 * static_cast<double>(c) + hue * 6.0, 6.0);
    out[c] = value - value * saturation * std::clamp(std::min(k, 4.0 - k), 0.0, 1.0);
  }
  return out;
}

Scene scene_of(const ShapesOptions& options, std::uint64_t id) {
  std::array<float, 6> u{};
  fill_uniform({.seed = options.seed, .stream = Stream::kShapes, .major = 0, .minor = id}, u);
  const double side = std::min(options.height, options.width);
  Scene scene{};
  scene.shape = id % kShapeClasses.size();
  scene.radius = side * (0.24 + 0.16 * u[0]);
  const double margin = scene.radius + 0.5;
  scene.centre = {margin + u[1] * (options.width - 2 * margin),
                  margin + u[2] * (options.height - 2 * margin)};
  const double symmetry = kSymmetry.at(scene.shape);
  scene.angle = symmetry == 0 ? 0.0 : u[3] * kTurn / symmetry;
  scene.hue = u[4];
  // At least a fifth of the circle away, so that shape and ground never melt.
  scene.background_hue = std::fmod(scene.hue + 0.2 + 0.6 * u[5], 1.0);
  return scene;
}

std::uint8_t to_byte(double value) {
  return static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0, 1.0) * 255.0));
}

void paint(const ShapesOptions& options, const Scene& scene, std::span<std::uint8_t> pixels) {
  const std::vector<Point> polygon = corners(scene.shape);
  const auto front = rgb_of(scene.hue, 0.80, 0.95);
  const auto back = rgb_of(scene.background_hue, 0.45, 0.30);
  const double sine = std::sin(scene.angle);
  const double cosine = std::cos(scene.angle);
  std::size_t at = 0;
  for (int row = 0; row < options.height; ++row) {
    for (int column = 0; column < options.width; ++column) {
      const double x = (column + 0.5 - scene.centre.x) / scene.radius;
      const double y = (row + 0.5 - scene.centre.y) / scene.radius;
      const Point turned{cosine * x + sine * y, cosine * y - sine * x};
      const double distance = signed_distance(scene.shape, polygon, turned) * scene.radius;
      const double cover = std::clamp(0.5 - distance, 0.0, 1.0);
      std::array<double, 3> colour{};
      for (std::size_t c = 0; c < 3; ++c) colour[c] = back[c] + cover * (front[c] - back[c]);
      if (options.channels == 1) {
        pixels[at++] = to_byte(0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]);
      } else {
        for (const double channel : colour) pixels[at++] = to_byte(channel);
      }
    }
  }
}

// Train and valid share the ids below options.train; test has those behind.
std::array<std::vector<std::uint64_t>, 3> split_ids(const ShapesOptions& options) {
  std::array<std::vector<std::uint64_t>, 3> ids;
  for (std::uint64_t id = 0; id < options.train; ++id) {
    const bool last_hope = id + 1 == options.train && ids[0].empty();
    ids.at(index_of(held_out(id) && !last_hope ? Split::kValid : Split::kTrain)).push_back(id);
  }
  for (std::uint64_t i = 0; i < options.test; ++i)
    ids.at(index_of(Split::kTest)).push_back(options.train + i);
  return ids;
}

void check(const ShapesOptions& options) {
  constexpr int kSmallest = 8;
  constexpr std::uint64_t kMost = std::uint64_t{1} << 32U;
  if (std::min(options.height, options.width) < kSmallest ||
      std::max(options.height, options.width) > kMaxImageSide ||
      (options.channels != 1 && options.channels != 3) || options.train == 0 ||
      options.train > kMost || options.test > kMost) {
    throw ConfigError(
        text("Cannot make ", options.train, " + ", options.test, " shapes of ", options.height, "x",
             options.width, "x", options.channels, "."),
        "Choose 1 to 2^32 training images, sides of 8 to 16384 pixels, 1 or 3 channels.");
  }
}

}  // namespace

void render_shape(const ShapesOptions& options, std::uint64_t id, std::span<std::uint8_t> pixels,
                  std::span<float> factors) {
  const Scene scene = scene_of(options, id);
  const double side = std::min(options.height, options.width);
  const std::array<double, kShapeFactors.size()> values{static_cast<double>(scene.shape),
                                                        scene.centre.x / side,
                                                        scene.centre.y / side,
                                                        scene.radius / side,
                                                        scene.angle,
                                                        scene.hue,
                                                        scene.background_hue};
  std::transform(values.begin(), values.end(), factors.begin(),
                 [](double value) { return static_cast<float>(value); });
  paint(options, scene, pixels);
}

Manifest make_shapes(FileSystem& files, const Clock& clock, const ShapesOptions& options) {
  check(options);
  StagingFolder staging(files, options.out);
  const auto ids = split_ids(options);
  DatasetPlan plan;
  plan.shape = {options.height, options.width, options.channels};
  plan.class_names.assign(kShapeClasses.begin(), kShapeClasses.end());
  plan.factor_names.assign(kShapeFactors.begin(), kShapeFactors.end());
  plan.extra_tables = {{"factors", Element::kF32, {kShapeFactors.size()}}};
  for (std::size_t i = 0; i < ids.size(); ++i) plan.samples.at(i) = ids.at(i).size();
  plan.shard_bytes = options.shard_bytes;
  plan.valid_from_train = true;
  plan.source = text("shapes, seed ", options.seed);
  const std::size_t bytes = plan.shape.bytes();
  const auto fill = [&](const RowBlock& block) {
    for (std::uint64_t i = 0; i < block.count; ++i) {
      const std::uint64_t id = ids.at(index_of(block.split)).at(block.first + i);
      auto* pixels = reinterpret_cast<std::uint8_t*>(block.tables[kImages].data()) + i * bytes;
      std::array<float, kShapeFactors.size()> factors{};
      render_shape(options, id, {pixels, bytes}, factors);
      const auto label = static_cast<std::int64_t>(id % kShapeClasses.size());
      std::memcpy(&block.tables[kLabels][i * sizeof(label)], &label, sizeof(label));
      std::memcpy(&block.tables[kIds][i * sizeof(id)], &id, sizeof(id));
      std::memcpy(&block.tables[kIds + 1][i * sizeof(factors)], factors.data(), sizeof(factors));
    }
  };
  Manifest manifest = write_dataset(files, clock, staging, plan, fill);
  staging.publish();
  return manifest;
}

}  // namespace atelier::data
