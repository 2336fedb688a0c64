#include "launch/base/text.h"

#include <limits>
#include <locale>

#include <gtest/gtest.h>

namespace atelier {
namespace {

TEST(Text, concatenates_as_a_stream_prints) {
  EXPECT_EQ(text("rank ", 3, " of ", 4U, ": ", 0.5, ' ', std::string("x")), "rank 3 of 4: 0.5 x");
  EXPECT_EQ(text(), "");
}

struct CommaDecimals : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

TEST(Text, ignores_the_global_locale) {
  const std::locale before = std::locale::global(std::locale(std::locale(), new CommaDecimals));

  const std::string number = text(1234567.5);
  const std::string rounded = fixed(1234.25, 1);
  const std::string whole = text(1234567);
  std::locale::global(before);

  EXPECT_EQ(number, "1.23457e+06");
  EXPECT_EQ(rounded, "1234.2");
  EXPECT_EQ(whole, "1234567");
}

TEST(Join, keeps_empty_items) {
  EXPECT_EQ(join({}), "");
  EXPECT_EQ(join({"a"}), "a");
  EXPECT_EQ(join({"a", "b", "c"}), "a, b, c");
  EXPECT_EQ(join({"", "a", ""}, "|"), "|a|");
}

TEST(HumanBytes, picks_the_unit) {
  EXPECT_EQ(human_bytes(0), "0 bytes");
  EXPECT_EQ(human_bytes(1023), "1023 bytes");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes(std::uint64_t{300} << 20U), "300 MiB");
  EXPECT_EQ(human_bytes(std::numeric_limits<std::uint64_t>::max()), "16777216 TiB");
}

TEST(HumanSeconds, picks_the_unit) {
  EXPECT_EQ(human_seconds(0), "0.0 s");
  EXPECT_EQ(human_seconds(4.25), "4.2 s");
  EXPECT_EQ(human_seconds(59.4), "59 s");
  EXPECT_EQ(human_seconds(59.5), "1 min 00 s");
  EXPECT_EQ(human_seconds(63), "1 min 03 s");
  EXPECT_EQ(human_seconds(3599.6), "1 h 00 min");
  EXPECT_EQ(human_seconds(3723.4), "1 h 02 min");
  for (const double odd : {-1.0, 1e300, std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_EQ(human_seconds(odd), "?");
  }
}

TEST(HumanCount, groups_digits) {
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(1000), "1,000");
  EXPECT_EQ(human_count(-999), "-999");
  EXPECT_EQ(human_count(-1234567), "-1,234,567");
  EXPECT_EQ(human_count(std::numeric_limits<std::int64_t>::min()), "-9,223,372,036,854,775,808");
}

TEST(ShellWord, quotes_only_where_it_must) {
  EXPECT_EQ(shell_word("train.steps=1000"), "train.steps=1000");
  EXPECT_EQ(shell_word("/data/a-b_c.d"), "/data/a-b_c.d");
  EXPECT_EQ(shell_word("my photos"), "'my photos'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_word("$HOME"), "'$HOME'");
  EXPECT_EQ(shell_word(""), "''");
}

TEST(EditDistance, counts_edits_and_swaps) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("abc", ""), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(edit_distance("batch", "bacth"), 1U);
  EXPECT_EQ(edit_distance("step", "steps"), 1U);
}

TEST(Nearest, helps_only_when_near) {
  const std::vector<std::string> keys{"train.batch", "train.steps", "seed", "lr"};
  EXPECT_EQ(nearest("train.bacth", keys), "train.batch");
  EXPECT_EQ(nearest("sede", keys), "seed");
  EXPECT_EQ(nearest("l", keys), "lr");
  EXPECT_EQ(nearest("xy", keys), "");
  EXPECT_EQ(nearest("monitoring", keys), "");
  EXPECT_EQ(nearest("anything", {}), "");
}

}  // namespace
}  // namespace atelier
