#include "launch/base/hash.h"

#include <random>
#include <utility>

#include <gtest/gtest.h>

namespace atelier {
namespace {

// Known answers of XXH3-64 with seed 0, from its reference implementation.
TEST(Xxh3, of_128_bits) {
  const Hash128 empty = xxh3_128({});
  EXPECT_EQ(to_hex(empty.high) + to_hex(empty.low), "99aa06d3014798d86001c324468d497f");
  const std::string text = "any one bit matters";
  std::string other = text;
  other[7] ^= 1;
  EXPECT_FALSE(xxh3_128(std::as_bytes(std::span(text))) ==
               xxh3_128(std::as_bytes(std::span(other))));
}

TEST(Xxh3, published_vectors) {
  EXPECT_EQ(xxh3_64(std::string_view()), 0x2D06800538D394C2ULL);
  EXPECT_EQ(xxh3_64("abc"), 0x78AF5F94892F3950ULL);
}

TEST(Hasher, any_cutting_of_the_input_gives_the_hash_of_the_whole) {
  std::mt19937 engine(1);
  for (int round = 0; round < 200; ++round) {
    std::string input(engine() % 5000, '\0');
    for (char& c : input) c = static_cast<char>(engine());

    Hasher hasher;
    for (std::size_t at = 0; at < input.size();) {
      const std::size_t piece = std::min<std::size_t>(engine() % 700, input.size() - at);
      hasher.update(std::string_view(input).substr(at, piece));
      at += piece;
    }

    ASSERT_EQ(hasher.value(), xxh3_64(input));
  }
}

TEST(Hasher, value_does_not_end_the_feeding_and_reset_does) {
  Hasher hasher;
  EXPECT_EQ(hasher.value(), xxh3_64(std::string_view()));
  hasher.update("ab");
  EXPECT_EQ(hasher.value(), xxh3_64("ab"));
  hasher.update("c");
  Hasher moved = std::move(hasher);
  EXPECT_EQ(moved.value(), xxh3_64("abc"));
  moved.reset();
  moved.update("x");
  EXPECT_EQ(moved.value(), xxh3_64("x"));
}

TEST(Hex, round_trip) {
  EXPECT_EQ(to_hex(0), "0000000000000000");
  EXPECT_EQ(to_hex(255), "00000000000000ff");
  EXPECT_EQ(to_hex(0xFEDCBA9876543210ULL), "fedcba9876543210");
  std::mt19937_64 engine(2);
  for (int round = 0; round < 1000; ++round) {
    const std::uint64_t value = engine();
    EXPECT_EQ(from_hex(to_hex(value)), value);
  }
}

TEST(Hex, anything_but_sixteen_lower_case_digits_is_nothing) {
  for (const char* bad : {"", "0", "000000000000000", "00000000000000000", "00000000000000FF",
                          "0x00000000000000", " 00000000000000f", "000000000000000g"}) {
    EXPECT_FALSE(from_hex(bad)) << bad;
  }
}

}  // namespace
}  // namespace atelier
