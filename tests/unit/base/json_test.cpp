#include "launch/base/json.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace atelier {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string fault_of(std::string_view content) { return try_parse_json_strict(content).fault; }

TEST(StrictJson, agrees_with_the_plain_parser_on_good_documents) {
  for (const char* good :
       {"null", "true", "-0", "1.5e-3", "\"a\\u00e9\\n\"", "[]", "{}", "[[],[1,[2]],{}]",
        R"({"a": 1, "b": {"a": [1, 2.5, "x", null, {"c": -7}]}, "": {"": 0}})",
        "18446744073709551615", "-9223372036854775808", " \n[ 1 ]\t"}) {
    EXPECT_EQ(parse_json_strict(good, "good"), json::parse(good)) << good;
  }
}

TEST(StrictJson, keeps_64_bit_integers_exact) {
  EXPECT_EQ(parse_json_strict("18446744073709551615", "x").get<std::uint64_t>(), ~0ULL);
}

TEST(StrictJson, refuses_duplicate_keys_at_any_depth) {
  EXPECT_THAT(fault_of(R"({"a": 1, "a": 2})"), HasSubstr("the key 'a' appears twice"));
  EXPECT_THAT(fault_of(R"([{"x": {"b": 1, "c": [], "\u0062": 2}}])"),
              HasSubstr("'b' appears twice"));
  EXPECT_EQ(fault_of(R"({"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 1}]})"), "");
}

TEST(StrictJson, refuses_what_is_no_json) {
  for (const char* bad : {"",
                          " ",
                          "{",
                          "[",
                          "}",
                          "[1,]",
                          "{\"a\":1,}",
                          "{a: 1}",
                          "{'a': 1}",
                          "[1] [2]",
                          "1 2",
                          "NaN",
                          "[nan]",
                          "Infinity",
                          "-Infinity",
                          "01",
                          "+1",
                          "1.",
                          ".5",
                          "0x10",
                          "[1 /* one */]",
                          "// x\n1",
                          "\"a\nb\"",
                          "\"\\x41\"",
                          "\"\\ud800\"",
                          "\"\xFF\"",
                          "\"unfinished",
                          "tru",
                          "1e999",
                          "18446744073709551616",
                          "-9223372036854775809",
                          "\0"}) {
    EXPECT_NE(fault_of(bad), "") << bad;
  }
}

TEST(StrictJson, bounds_the_nesting) {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_EQ(fault_of(nested(200)), "");
  EXPECT_THAT(fault_of(nested(201)), HasSubstr("deeper than 200"));
  EXPECT_NE(fault_of(std::string(1000000, '[')), "");
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  EXPECT_THAT(fault_of(objects), HasSubstr("deeper than 200"));
}

TEST(StrictJson, errors_name_the_source_and_have_the_type_asked_for) {
  try {
    (void)parse_json_strict("{\"a\": }", "manifest.json");
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("'manifest.json'"), HasSubstr("line 1, column 7")));
  }
  EXPECT_THROW((void)parse_json_strict<CheckpointError>("", "state.json"), CheckpointError);
}

TEST(StrictJson, random_and_damaged_bytes_never_crash) {
  const std::string good = R"({"a": [1, 2.5e3, -7], "b": {"c": "x\u00e9", "d": null}, "e": true})";
  const std::string alphabet = "{}[],:\"\\ntrufalse0123456789.eE+- \xC3\xA9\xFF";
  std::mt19937 engine(5);
  for (int round = 0; round < 30000; ++round) {
    std::string input;
    if (round % 2 == 0) {
      for (auto i = engine() % 40; i > 0; --i) input += alphabet[engine() % alphabet.size()];
    } else {
      input = good;
      input[engine() % input.size()] = static_cast<char>(engine() % 256);
      input.resize(engine() % (input.size() + 1));
    }
    const JsonResult result = try_parse_json_strict(input);
    // Strict accepts nothing that the plain parser refuses.
    ASSERT_TRUE(!result.fault.empty() || json::accept(input)) << input;
  }
}

}  // namespace
}  // namespace atelier
