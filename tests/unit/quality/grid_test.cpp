// Pictures: every pixel of small grids, captions, arrangement, and what is written to a file.
#include "trainer/quality/grid.h"

#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "data/image_codec.h"
#include "launch/base/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/quality/oracles.h"
#include "trainer/quality/font.h"

namespace atelier::quality {
namespace {

// `count` grey images of 2 × 3 pixels; image i is filled with 10 (i + 1).
torch::Tensor plain_images(std::int64_t count) {
  return (torch::arange(1, count + 1, torch::kInt64) * 10)
      .reshape({count, 1, 1, 1})
      .expand({count, 2, 3, 1})
      .to(torch::kUInt8);
}

std::uint8_t dot(const torch::Tensor& picture, std::int64_t y, std::int64_t x) {
  return picture[y][x][0].item<std::uint8_t>();
}

TEST(Grid, places_every_pixel) {
  const GridOptions options{.columns = 2, .separator = 1, .scale = 2, .background = 200};

  const auto found = grid(plain_images(3), options);

  ASSERT_EQ(found.sizes(), (std::vector<std::int64_t>{2 * 5 + 1, 2 * 7 + 1, 1}));
  for (std::int64_t y = 0; y < 11; ++y) {
    for (std::int64_t x = 0; x < 15; ++x) {
      const auto image = y / 5 * 2 + x / 7;
      const bool inside = y % 5 != 0 && x % 7 != 0 && image < 3;
      EXPECT_EQ(dot(found, y, x), inside ? 10 * (image + 1) : 200) << y << " " << x;
    }
  }
}

TEST(Grid, of_fewer_images_than_columns_is_as_wide_as_they_are) {
  EXPECT_EQ(grid(plain_images(2), {.columns = 8, .separator = 0}).size(1), 6);
}

TEST(Grid, takes_what_networks_give) {
  const auto images = smooth_images(4, 8, 1);
  const auto floats = (images.to(torch::kFloat32) / 127.5 - 1.0).permute({0, 3, 1, 2});

  EXPECT_TRUE(torch::equal(grid(floats), grid(images)));
  EXPECT_TRUE(torch::equal(grid(floats.to(torch::kFloat64)), grid(images)));
}

TEST(Grid, shows_numbers_out_of_range_and_nan_without_harm) {
  const auto images = torch::tensor({-7.0F, 7.0F, NAN}).reshape({3, 1, 1, 1});

  const auto found = grid(images, {.separator = 0});

  EXPECT_EQ(dot(found, 0, 0), 0);
  EXPECT_EQ(dot(found, 0, 1), 255);
  EXPECT_EQ(dot(found, 0, 2), 0);
}

TEST(Grid, of_no_image_is_refused) {
  EXPECT_THROW((void)grid(plain_images(0)), InternalError);
  EXPECT_THROW((void)grid(plain_images(1), {.columns = 0}), InternalError);
  EXPECT_THROW((void)grid(plain_images(1), {.scale = 0}), InternalError);
}

TEST(PairsGrid, puts_each_reconstruction_below_its_original) {
  const auto originals = plain_images(3);
  const auto reconstructions = originals + 5;

  const auto found = pairs_grid(originals, reconstructions, {.columns = 2, .separator = 0});

  ASSERT_EQ(found.sizes(), (std::vector<std::int64_t>{8, 6, 1}));
  const std::vector<std::vector<int>> expected{{10, 20}, {15, 25}, {30, 255}, {35, 255}};
  for (std::int64_t row = 0; row < 4; ++row) {
    for (std::int64_t column = 0; column < 2; ++column) {
      EXPECT_EQ(dot(found, 2 * row, 3 * column),
                expected[static_cast<std::size_t>(row)][static_cast<std::size_t>(column)]);
    }
  }
}

TEST(Strips, give_each_batch_a_row) {
  const std::vector<torch::Tensor> batches{plain_images(3), plain_images(2)};

  const auto found = strips(batches, {.separator = 1, .background = 0});

  ASSERT_EQ(found.sizes(), (std::vector<std::int64_t>{1 + 2 * 3, 1 + 3 * 4, 1}));
  EXPECT_EQ(dot(found, 1, 9), 30);
  EXPECT_EQ(dot(found, 4, 5), 20);
  EXPECT_EQ(dot(found, 4, 9), 255);
}

TEST(WithCaption, writes_the_text_above) {
  const auto picture = torch::full({4, 40, 3}, 9, torch::kUInt8);

  const auto found = with_caption(picture, "I1");

  ASSERT_EQ(found.size(1), 40);
  EXPECT_TRUE(torch::equal(found.slice(0, found.size(0) - 4), picture));
  const auto text = found.slice(0, 0, found.size(0) - 4);
  for (int y = 0; y < kGlyphHeight; ++y) {
    for (int x = 0; x < kGlyphWidth; ++x) {
      const bool set = (glyph_of('I')[static_cast<std::size_t>(y)] >> (4 - x) & 1) != 0;
      EXPECT_EQ(dot(text, 1 + y, 1 + x), set ? 0 : 255);
    }
  }
}

TEST(WithCaption, breaks_long_text_and_keeps_the_width) {
  const auto picture = torch::zeros({4, 40, 1}, torch::kUInt8);

  const auto one = with_caption(picture, "abc");
  const auto two = with_caption(picture, "abc defg");
  const auto long_word = with_caption(picture, "abcdefghijklm");

  EXPECT_EQ(two.size(0) - one.size(0), one.size(0) - 4);
  EXPECT_EQ(two.size(1), 40);
  EXPECT_EQ(long_word.size(0), 4 + 3 * (one.size(0) - 4));
  EXPECT_TRUE(torch::equal(with_caption(picture, ""), picture));
}

TEST(Font, every_printable_character_has_a_glyph_of_its_own) {
  for (char a = '!'; a <= '~'; ++a) {
    for (char b = ' '; b < a; ++b) {
      EXPECT_NE(glyph_of(a), glyph_of(b)) << a << " and " << b;
    }
  }
  EXPECT_EQ(glyph_of('\n'), glyph_of('?'));
  EXPECT_EQ(glyph_of(static_cast<char>(0xC3)), glyph_of('?'));
}

TEST(SideBySide, aligns_tops_and_mixes_grey_with_colour) {
  const std::vector<torch::Tensor> panels{torch::full({2, 3, 1}, 7, torch::kUInt8),
                                          torch::full({4, 5, 3}, 8, torch::kUInt8)};

  const auto across = side_by_side(panels, 2);
  const auto down = stacked(panels, 2);

  ASSERT_EQ(across.sizes(), (std::vector<std::int64_t>{4, 10, 3}));
  EXPECT_EQ(across[1][2][2].item<int>(), 7);
  EXPECT_EQ(dot(across, 2, 2), 255);
  EXPECT_EQ(dot(across, 0, 4), 255);
  EXPECT_EQ(dot(across, 3, 9), 8);
  ASSERT_EQ(down.sizes(), (std::vector<std::int64_t>{8, 5, 3}));
  EXPECT_EQ(dot(down, 4, 0), 8);
}

TEST(WritePicture, writes_a_png_with_these_pixels) {
  const test::TemporaryFolder folder;
  LocalFileSystem files;
  for (const std::int64_t channels : {1, 3}) {
    const auto picture = smooth_images(1, 16, 3)[0].slice(2, 0, channels);

    write_picture(files, folder.path() / "grid.png", picture);

    const auto bytes = files.read(folder.path() / "grid.png");
    const auto image = data::decode_image(std::as_bytes(std::span(bytes)), "grid.png");
    EXPECT_EQ(image.shape.channels, channels);
    const auto expected = picture.contiguous();
    const auto* first = expected.data_ptr<std::uint8_t>();
    EXPECT_EQ(image.pixels, std::vector<std::uint8_t>(first, first + expected.numel()));
  }
}

TEST(WritePicture, into_a_missing_folder_is_an_io_error) {
  const test::TemporaryFolder folder;
  LocalFileSystem files;

  EXPECT_THROW(write_picture(files, folder.path() / "none" / "grid.png", plain_images(1)[0]),
               IoError);
}

TEST(VisibleScale, makes_small_images_64_wide) {
  EXPECT_EQ(visible_scale(16), 4);
  EXPECT_EQ(visible_scale(32), 2);
  EXPECT_EQ(visible_scale(64), 1);
  EXPECT_EQ(visible_scale(256), 1);
}

}  // namespace
}  // namespace atelier::quality
