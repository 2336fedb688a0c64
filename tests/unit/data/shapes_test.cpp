#include "data/shapes.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include <gtest/gtest.h>

#include "data/image_codec.h"
#include "data/reader.h"
#include "launch/base/error.h"
#include "tests/support/temporary_folder.h"

namespace atelier::data {
namespace {

class ShapesTest : public testing::Test {
 protected:
  Dataset make(ShapesOptions options, const std::string& name) {
    options.out = folder_ / name;
    make_shapes(files_, SystemClock(), options);
    return Dataset::open(files_, options.out);
  }

  LocalFileSystem files_;
  test::TemporaryFolder temporary_;
  const Path& folder_ = temporary_.path();
};

TEST_F(ShapesTest, holds_what_was_asked_for_in_balanced_classes) {
  const Dataset dataset = make({.train = 1200, .test = 60}, "set");

  EXPECT_EQ(dataset.shape(), (ImageShape{32, 32, 3}));
  EXPECT_EQ(dataset.size(Split::kTrain) + dataset.size(Split::kValid), 1200U);
  EXPECT_NEAR(static_cast<double>(dataset.size(Split::kValid)), 60, 30);
  EXPECT_EQ(dataset.class_names().size(), 6U);
  EXPECT_EQ(dataset.manifest().splits[2].class_counts, (std::vector<std::uint64_t>(6, 10)));
}

TEST_F(ShapesTest, an_image_depends_on_seed_and_number_alone) {
  const Dataset small = make({.train = 100, .test = 0}, "small");
  const Dataset large = make({.train = 300, .test = 30}, "large");
  const Dataset other = make({.train = 100, .test = 0, .seed = 2}, "other");
  std::vector<std::uint8_t> a(32 * 32 * 3);
  std::vector<std::uint8_t> b(a.size());
  std::vector<std::uint8_t> c(a.size());
  const std::array<std::uint64_t, 1> index{17};

  Reader(small, Split::kTrain).read(index, a);
  Reader(large, Split::kTrain).read(index, b);
  Reader(other, Split::kTrain).read(index, c);

  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
}

TEST_F(ShapesTest, factors_say_where_the_shape_is) {
  const Dataset dataset = make({.train = 600, .test = 0, .height = 48, .width = 64}, "set");
  Reader reader(dataset, Split::kTrain);
  const auto bytes = reader.table("factors");
  std::vector<float> factors(bytes.size() / sizeof(float));
  std::memcpy(factors.data(), bytes.data(), bytes.size());
  std::vector<std::uint8_t> image(dataset.shape().bytes());

  for (std::uint64_t i = 0; i < reader.size(); ++i) {
    const float* row = &factors[i * kShapeFactors.size()];
    EXPECT_EQ(static_cast<std::int64_t>(row[0]), reader.label(i));
    if (row[0] == 1.0F) continue;  // the middle of a ring is background
    reader.read(std::array{i}, image);
    const auto y = static_cast<std::size_t>(row[2] * 48);
    const auto x = static_cast<std::size_t>(row[1] * 48);
    const std::uint8_t* pixel = &image[(y * 64 + x) * 3];
    // The shape is bright (value 0.95), the ground dark (value 0.30).
    EXPECT_GT(std::max({pixel[0], pixel[1], pixel[2]}), 200) << i;
    EXPECT_LT(std::max({image[0], image[1], image[2]}), 100) << i;
  }
}

TEST_F(ShapesTest, equal_options_give_equal_bytes) {
  const Dataset first = make({.train = 200, .test = 20}, "first");
  const Dataset second = make({.train = 200, .test = 20}, "second");

  EXPECT_EQ(first.id(), second.id());
  for (const ShardEntry& shard : first.manifest().shards)
    EXPECT_EQ(files_.read(folder_ / "first" / shard.file),
              files_.read(folder_ / "second" / shard.file));
}

TEST_F(ShapesTest, grey_images_have_one_channel) {
  EXPECT_EQ(make({.train = 30, .test = 0, .channels = 1}, "set").shape(), (ImageShape{32, 32, 1}));
}

TEST_F(ShapesTest, refuses_impossible_requests_and_existing_folders) {
  EXPECT_THROW(make({.train = 0}, "a"), ConfigError);
  EXPECT_THROW(make({.height = 4}, "a"), ConfigError);
  EXPECT_THROW(make({.channels = 2}, "a"), ConfigError);
  make({.train = 10, .test = 0}, "a");
  EXPECT_THROW(make({.train = 10, .test = 0}, "a"), OutputError);
}

// Not a check but a look: ATELIER_PICTURES=DIR leaves a grid of the first 96 images there.
TEST_F(ShapesTest, draws_a_grid_on_request) {
  const char* folder = std::getenv("ATELIER_PICTURES");
  if (folder == nullptr) GTEST_SKIP() << "set ATELIER_PICTURES to a folder to look at the shapes";
  constexpr int kColumns = 12;
  constexpr int kRows = 8;
  for (const int side : {32, 64}) {
    const ShapesOptions options{.height = side, .width = side};
    const auto cell = static_cast<std::size_t>(side) * 3;
    std::vector<std::uint8_t> grid(cell * static_cast<std::size_t>(side) * kColumns * kRows);
    std::vector<std::uint8_t> image(cell * static_cast<std::size_t>(side));
    std::array<float, kShapeFactors.size()> factors{};
    for (std::uint64_t i = 0; i < kColumns * kRows; ++i) {
      render_shape(options, i, image, factors);
      for (std::size_t y = 0; y < static_cast<std::size_t>(side); ++y)
        std::memcpy(
            &grid[((i / kColumns * static_cast<std::size_t>(side) + y) * kColumns + i % kColumns) *
                  cell],
            &image[y * cell], cell);
    }
    write_png(files_, Path(folder) / ("shapes" + std::to_string(side) + ".png"),
              {side * kRows, side * kColumns, 3}, grid);
  }
}

}  // namespace
}  // namespace atelier::data
