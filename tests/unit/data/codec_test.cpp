#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/image_codec.h"
#include "data/resize.h"
#include "launch/base/error.h"
#include "launch/base/random.h"
#include "tests/unit/data/test_images.h"

namespace atelier::data {
namespace {

std::span<const std::byte> bytes_of(const std::string& content) {
  return std::as_bytes(std::span(content));
}

// Returns whether it decoded; a crash or another exception fails the test.
bool survives(const std::string& content) {
  try {
    const Image image = decode_image(bytes_of(content), "fuzz");
    EXPECT_EQ(image.pixels.size(), image.shape.bytes());
    return true;
  } catch (const DataError&) {
    return false;
  }
}

std::uint64_t draw(std::uint64_t trial, std::uint64_t which, std::uint64_t bound) {
  return uniform_below({.seed = 9, .major = trial, .minor = which}, bound);
}

class Damaged : public testing::TestWithParam<bool> {
 protected:
  [[nodiscard]] std::string file() const {
    const Image image = test_picture({29, 31, 3}, 5);
    return GetParam() ? encode_jpeg(image) : encode_png(image.shape, image.pixels);
  }
};

TEST_P(Damaged, files_with_random_bytes_never_crash) {
  const std::string good = file();
  ASSERT_TRUE(survives(good));
  for (std::uint64_t trial = 0; trial < 3000; ++trial) {
    std::string bad = good;
    const std::uint64_t changes = 1 + draw(trial, 0, 8);
    for (std::uint64_t c = 0; c < changes; ++c)
      bad[draw(trial, 2 * c + 1, bad.size())] = static_cast<char>(draw(trial, 2 * c + 2, 256));
    (void)survives(bad);
  }
}

TEST_P(Damaged, every_truncation_is_refused) {
  const std::string good = file();
  for (std::size_t length = 0; length + 2 < good.size(); ++length)
    EXPECT_FALSE(survives(good.substr(0, length))) << length << " of " << good.size();
}

TEST_P(Damaged, garbage_behind_the_magic_is_refused) {
  const std::string good = file();
  for (std::uint64_t trial = 0; trial < 300; ++trial) {
    std::string bad = good.substr(0, 8 + draw(trial, 0, 40));
    for (std::uint64_t i = 0; i < 400; ++i) bad += static_cast<char>(draw(trial, i + 1, 256));
    EXPECT_FALSE(survives(bad));
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, Damaged, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "jpeg" : "png"; });

TEST(Codec, png_gives_back_what_was_written) {
  for (const ImageShape shape : {ImageShape{1, 1, 1}, ImageShape{7, 5, 3}, ImageShape{64, 3, 1}}) {
    const Image image = test_picture(shape, 1);

    const Image again = decode_image(bytes_of(encode_png(shape, image.pixels)), "x");

    EXPECT_EQ(again.shape, shape);
    EXPECT_EQ(again.pixels, image.pixels);
  }
  EXPECT_THROW((void)encode_png({2, 2, 3}, std::vector<std::uint8_t>(11)), DataError);
  EXPECT_THROW((void)encode_png({0, 2, 3}, {}), DataError);
}

// Inks of the Adobe kind, stored inverted, as they are or turned to YCC and K.
TEST(Codec, inks_become_the_colours_that_they_print) {
  const Image ink = test_picture({16, 24, 4}, 2);
  for (const J_COLOR_SPACE stored : {JCS_CMYK, JCS_YCCK}) {
    const std::string file = encode_inks(ink, stored);
    const Image found = decode_image(bytes_of(file), "inks");
    ASSERT_EQ(found.shape, (ImageShape{16, 24, 3}));
    int worst = 0;
    for (std::size_t pixel = 0; pixel < found.pixels.size() / 3; ++pixel) {
      for (std::size_t c = 0; c < 3; ++c) {
        const int light = ink.pixels[pixel * 4 + c] * ink.pixels[pixel * 4 + 3] / 255;
        worst = std::max(worst, std::abs(light - found.pixels[pixel * 3 + c]));
      }
    }
    EXPECT_LE(worst, 12) << (stored == JCS_YCCK ? "YCCK" : "CMYK");
  }
}

TEST(Codec, the_message_names_file_and_reason) {
  try {
    (void)decode_image(bytes_of("text"), "notes.jpg");
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("'notes.jpg': it is no JPEG, PNG or WebP"));
  }
}

// 60,000 x 60,000 pixels in a JPEG of a few hundred bytes.
TEST(Codec, a_huge_jpeg_header_is_refused_before_memory_is_taken) {
  std::string file = encode_jpeg(test_picture({16, 16, 3}, 1));
  const std::size_t frame = file.find("\xff\xc0");
  for (const std::size_t at : {5U, 7U}) {
    file[frame + at] = '\xEA';
    file[frame + at + 1] = '\x60';
  }

  EXPECT_FALSE(survives(file));
}

TEST(Resize, keeps_flat_areas_flat_and_crops_the_centre) {
  for (const auto& [height, width] : {std::array{5, 9}, {31, 2}, {100, 100}, {1, 1}}) {
    const Image flat{{20, 30, 3}, std::vector<std::uint8_t>(1800, 77)};
    const Image out = resized(flat, {.height = height, .width = width});
    EXPECT_EQ(out.shape, (ImageShape{height, width, 3}));
    EXPECT_THAT(out.pixels, testing::Each(77));
  }
  Image wide{{4, 12, 1}, std::vector<std::uint8_t>(48, 0)};
  for (std::size_t y = 0; y < 4; ++y)
    for (std::size_t x = 4; x < 8; ++x) wide.pixels[y * 12 + x] = 200;
  EXPECT_GT(resized(wide, {.height = 2, .width = 2}).pixels[0], 150);
}

TEST(Resize, does_the_same_to_every_row_and_column_whatever_came_before) {
  for (const int channels : {1, 3}) {
    for (const Filter filter : {Filter::kLanczos, Filter::kBox, Filter::kBilinear}) {
      // More rows than are resampled at once, and a rest.
      Image slope{{37, 50, channels}, {}};
      for (std::size_t i = 0; i < slope.shape.bytes(); ++i)
        slope.pixels.push_back(
            static_cast<std::uint8_t>(5 * (i / static_cast<std::size_t>(channels) % 50)));
      const Image out =
          resized(slope, {.height = 20, .width = 23, .fit = Fit::kStretch, .filter = filter});
      const auto row = out.pixels.size() / 20;
      for (std::size_t i = row; i < out.pixels.size(); ++i)
        ASSERT_EQ(out.pixels[i], out.pixels[i - row]) << i;
      EXPECT_LT(out.pixels.front(), out.pixels.back());
    }
  }
}

TEST(Channels, grey_survives_the_way_to_colour_and_back) {
  const Image grey = test_picture({9, 9, 1}, 3);

  EXPECT_EQ(with_channels(with_channels(grey, 3), 1).pixels, grey.pixels);
}

}  // namespace
}  // namespace atelier::data
