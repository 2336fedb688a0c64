#include "data/packing.h"

#include <numeric>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/pixel_sums.h"
#include "launch/base/error.h"
#include "launch/base/random.h"
#include "tests/unit/data/test_images.h"

namespace atelier::data {
namespace {

using Pixels = std::vector<std::uint8_t>;

Pixels noise(std::size_t bytes, std::uint64_t seed) {
  Pixels out(bytes);
  for (std::size_t i = 0; i < bytes; ++i)
    out[i] = static_cast<std::uint8_t>(uniform_below({.seed = seed, .minor = i}, 256));
  return out;
}

TEST(PackingTest, deflated_pixels_come_back) {
  const ImageShape shape{9, 7, 3};
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const Pixels pixels = seed % 2 == 0 ? noise(shape.bytes(), seed) : Pixels(shape.bytes(), 7);
    const auto stored = deflated(std::as_bytes(std::span(pixels)));
    Pixels back(shape.bytes());
    unpack({Storage::kDeflate}, shape, stored, back);
    EXPECT_EQ(back, pixels);
  }
}

TEST(PackingTest, what_gives_other_pixels_than_the_shape_has_is_refused) {
  const ImageShape shape{9, 7, 3};
  Pixels out(shape.bytes());
  for (const std::size_t bytes : {shape.bytes() - 1, shape.bytes() + 1, std::size_t{0}}) {
    const Pixels pixels = noise(bytes, 1);
    const auto stored = deflated(std::as_bytes(std::span(pixels)));
    EXPECT_THROW(unpack({Storage::kDeflate}, shape, stored, out), DataError) << bytes;
  }
  const Pixels pixels = noise(shape.bytes(), 1);
  const auto whole = deflated(std::as_bytes(std::span(pixels)));
  for (std::size_t length = 0; length < whole.size(); ++length)
    EXPECT_THROW(unpack({Storage::kDeflate}, shape, std::span(whole).first(length), out),
                 DataError);
  EXPECT_THROW(unpack({Storage::kEncoded}, shape, whole, out), DataError);
}

TEST(PackingTest, files_become_the_pixels_that_an_import_makes_of_them) {
  const Image picture = test_picture({31, 45, 3}, 3);
  const std::string file = encode_jpeg(picture);
  const auto bytes = std::as_bytes(std::span(file));
  for (const Fit fit : {Fit::kCrop, Fit::kPad, Fit::kStretch}) {
    for (const Filter filter : {Filter::kLanczos, Filter::kBox, Filter::kBilinear}) {
      for (const int channels : {1, 3}) {
        const ImageShape shape{16, 20, channels};
        Pixels out(shape.bytes());
        unpack({Storage::kEncoded, fit, filter}, shape, bytes, out);
        const Image wanted =
            with_channels(resized(decode_image(bytes, "picture"),
                                  {.height = 16, .width = 20, .fit = fit, .filter = filter}),
                          channels);
        EXPECT_EQ(out, wanted.pixels);
      }
    }
  }
}

TEST(PackingTest, files_of_the_very_shape_become_what_they_show) {
  const Image picture = test_picture({24, 24, 3}, 3);
  const std::string upright = encode_jpeg(picture);
  // EXIF in its shortest form: one entry, orientation 6, a quarter turn.
  constexpr std::string_view kTurn(
      "\xFF\xE1\0\x22"
      "Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
      36);
  const std::string turned = upright.substr(0, 2) + std::string(kTurn) + upright.substr(2);
  EXPECT_NE(decode_image(std::as_bytes(std::span(turned)), "turned").pixels,
            decode_image(std::as_bytes(std::span(upright)), "upright").pixels);
  for (const std::string& file : {upright, turned, encode_png(picture.shape, picture.pixels)}) {
    const auto bytes = std::as_bytes(std::span(file));
    const Image wanted = decode_image(bytes, "picture");
    for (std::size_t shift = 0; shift < 32; ++shift) {  // wherever rows begin
      Pixels room(wanted.pixels.size() + 32);
      const auto out = std::span(room).subspan(shift, wanted.pixels.size());
      unpack({Storage::kEncoded}, picture.shape, bytes, out);
      EXPECT_TRUE(std::equal(out.begin(), out.end(), wanted.pixels.begin())) << shift;
    }
  }
}

TEST(PackingTest, names_of_storages_fits_and_filters_are_read_back) {
  for (const Storage storage : {Storage::kRaw, Storage::kDeflate, Storage::kEncoded}) {
    const Packing packing{storage, Fit::kPad, Filter::kBox};
    EXPECT_EQ(packing_from_names(storage_name(storage), fit_name(packing), filter_name(packing)),
              packing);
  }
  EXPECT_FALSE(packing_from_names("zip", "crop", "box"));
  EXPECT_FALSE(packing_from_names("raw", "squeeze", "box"));
  EXPECT_FALSE(packing_from_names("raw", "crop", "sharp"));
}

TEST(PixelSumsTest, sums_are_those_of_a_plain_loop) {
  for (const int channels : {1, 3}) {
    for (std::size_t rows = 0; rows < 600; rows += 7) {
      const Pixels pixels = noise(rows * static_cast<std::size_t>(channels), rows);
      PixelTotals plain;
      for (std::size_t i = 0; i < pixels.size(); ++i) {
        plain.values.at(i % static_cast<std::size_t>(channels)) += pixels[i];
        plain.squares.at(i % static_cast<std::size_t>(channels)) +=
            std::uint64_t{pixels[i]} * pixels[i];
      }
      const PixelTotals totals = totals_of(pixels, channels);
      EXPECT_EQ(totals.values, plain.values) << rows;
      EXPECT_EQ(totals.squares, plain.squares) << rows;
    }
  }
}

TEST(PixelSumsTest, the_brightest_image_does_not_overflow) {
  const std::uint64_t rows = 192 * 70000 / 3;
  const PixelTotals totals = totals_of(Pixels(rows * 3, 255), 3);
  EXPECT_EQ(totals.values[1], rows * 255);
  EXPECT_EQ(totals.squares[2], rows * 255 * 255);
}

TEST(PixelSumsTest, threads_add_what_one_does_and_tell_of_a_bad_image) {
  const ImageShape shape{8, 8, 3};
  const Packing packing{Storage::kDeflate};
  const Pixels pixels = noise(shape.bytes(), 5);
  const auto stored = deflated(std::as_bytes(std::span(pixels)));
  const std::uint64_t end = stored.size();
  for (const int threads : {1, 3}) {
    PixelSums sums(packing, shape, threads);
    for (int i = 0; i < 100; ++i) sums.add(stored, {&end, 1});
    EXPECT_EQ(sums.finish().values[0], 100 * totals_of(pixels, 3).values[0]);
  }
  PixelSums sums(packing, {8, 9, 3}, 2);
  EXPECT_THROW(
      {
        sums.add(stored, {&end, 1});
        static_cast<void>(sums.finish());
      },
      DataError);
}

}  // namespace
}  // namespace atelier::data
