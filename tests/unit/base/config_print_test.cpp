#include "launch/base/config_print.h"

#include <bit>
#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "launch/base/config_compare.h"
#include "launch/base/config_reader.h"
#include "launch/base/error.h"
#include "tests/unit/base/sample_config.h"

namespace atelier {
namespace {

using test::Precision;
using test::SampleConfig;
using ::testing::HasSubstr;

SampleConfig random_config(std::mt19937_64& engine) {
  const auto real = [&] {  // any bits that make a finite double
    double value = std::bit_cast<double>(engine());
    while (!std::isfinite(value)) value = std::bit_cast<double>(engine());
    return value;
  };
  const auto word = [&] {
    std::string out;
    for (std::uint64_t i = engine() % 12; i > 0; --i) {
      if (engine() % 6 == 0)
        out += "\xE2\x82\xAC";
      else
        out += static_cast<char>(engine() % 128);
    }
    return out;
  };
  SampleConfig config;
  config.seed = static_cast<std::int64_t>(engine() >> 1U);
  config.title = word();
  config.rate = std::abs(real());
  if (config.rate == 0) config.rate = 5e-324;
  config.momentum = static_cast<double>(engine()) * 0x1p-64;
  config.shift = real();
  config.deterministic = engine() % 2 == 0;
  config.precision = static_cast<Precision>(engine() % 3);
  config.folder = word();
  config.offset = static_cast<std::int64_t>(engine() % 11) - 5;
  return config;
}

TEST(ConfigToml, any_configuration_reads_back_to_the_same_bits) {
  std::mt19937_64 engine(3);
  for (int round = 0; round < 3000; ++round) {
    const SampleConfig config = random_config(engine);

    const std::string toml = config_toml(list_fields(config));
    const auto again = read_config<SampleConfig>({{{"printed", toml}}, {}});

    ASSERT_EQ(again, config) << toml;
    ASSERT_EQ(std::signbit(again.shift), std::signbit(config.shift));
    ASSERT_EQ(config_toml(list_fields(again)), toml);
  }
}

TEST(ConfigToml, groups_keys_by_table_and_explains_them) {
  const std::string toml = config_toml(list_fields(SampleConfig{}));

  EXPECT_THAT(toml,
              ::testing::StartsWith("# where random numbers begin (an integer of at least 0)\n"
                                    "seed = 0\n"));
  EXPECT_THAT(toml, HasSubstr("\n[train]\n# images per step over all ranks (an integer from 1 to "
                              "1048576)\nbatch = 64\n"));
  EXPECT_THAT(toml, HasSubstr("rate = 2e-04\n"));
  EXPECT_THAT(toml, HasSubstr("momentum = 0.9\n"));
  EXPECT_THAT(toml, HasSubstr("shift = 0.0\n"));
  EXPECT_THAT(toml, HasSubstr("precision = \"auto\"\n"));
  EXPECT_THAT(toml, HasSubstr("\n[monitoring.discovery]\n"));
}

struct Scattered {
  std::int64_t a = 1, b = 2, c = 3;
};
void describe(ConfigFields& f, Scattered& s) {
  f.integer("x.a", s.a, {}, {"first"});
  f.integer("b", s.b, {}, {"top level after a table"});
  f.integer("x.c", s.c, {}, {"back in the table"});
}

TEST(ConfigToml, tables_are_whole_even_when_described_in_pieces) {
  const std::string toml = config_toml(list_fields(Scattered{4, 5, 6}));
  const auto again = read_config<Scattered>({{{"printed", toml}}, {}});

  EXPECT_EQ(again.a, 4);
  EXPECT_EQ(again.b, 5);
  EXPECT_EQ(again.c, 6);
}

struct OptionalConfig {
  std::optional<double> rate;
};
void describe(ConfigFields& fields, OptionalConfig& config) {
  fields.optional_real("net.rate", config.rate, positive(), {"of the net; unset: the general one"});
}

TEST(ConfigToml, optional_numbers_stay_unset_until_someone_sets_them) {
  const auto read = [](std::vector<std::string> overrides) {
    return read_config<OptionalConfig>({{}, std::move(overrides)});
  };
  EXPECT_FALSE(read({}).rate);
  EXPECT_EQ(read({"net.rate=0.5"}).rate, 0.5);
  EXPECT_EQ(read({"net.rate=2"}).rate, 2.0);
  for (const char* wrong : {"net.rate=0.0", "net.rate=true", "net.rate=x"}) {
    EXPECT_THROW((void)read({wrong}), ConfigError) << wrong;
  }

  for (const OptionalConfig& config : {OptionalConfig{}, OptionalConfig{0.1}}) {
    const auto fields = list_fields(config);
    const auto again = read_config<OptionalConfig>({{{"run", config_toml(fields)}}, {}});
    EXPECT_EQ(again.rate, config.rate);
    EXPECT_TRUE(differences(flatten(fields), list_fields(again)).empty());
  }
  EXPECT_THAT(config_toml(list_fields(OptionalConfig{})), HasSubstr("# rate = unset"));
  EXPECT_THAT(schema_json(list_fields(OptionalConfig{})), HasSubstr("\"default\": null"));
  EXPECT_EQ(differences(flatten(list_fields(OptionalConfig{})), list_fields(OptionalConfig{2.0}))
                .at(0)
                .before,
            "unset");
}

TEST(ConfigToml, numbers_no_configuration_may_hold_are_defects) {
  EXPECT_THROW((void)to_toml(FieldValue(std::nan(""))), InternalError);
}

TEST(Schema, json_names_type_default_range_and_choices_of_every_key) {
  const auto schema = nlohmann::json::parse(schema_json(list_fields(SampleConfig{})));

  const auto& keys = schema.at("keys");
  ASSERT_EQ(keys.size(), 12U);
  EXPECT_EQ(keys[0], (nlohmann::json{{"key", "seed"},
                                     {"type", "integer"},
                                     {"default", 0},
                                     {"min", 0},
                                     {"doc", "where random numbers begin"},
                                     {"may_change_on_resume", false}}));
  EXPECT_EQ(keys[2].at("max"), 1 << 20);
  EXPECT_EQ(keys[4].at("type"), "number");
  EXPECT_EQ(keys[4].at("default"), 2e-4);
  EXPECT_FALSE(keys[6].contains("min"));
  EXPECT_EQ(keys[7].at("type"), "boolean");
  EXPECT_EQ(keys[8].at("choices"), (nlohmann::json{"fp32", "bf16", "auto"}));
  EXPECT_EQ(keys[9].at("may_change_on_resume"), true);
}

TEST(Schema, table_has_a_line_for_every_key) {
  const std::string table = schema_table(list_fields(SampleConfig{}));

  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 12);
  EXPECT_THAT(table, HasSubstr("monitoring.port = 9400"));
  EXPECT_THAT(table,
              HasSubstr("first port to listen on (an integer from 1 to 65535) [may change on "
                        "resume]\n"));
}

TEST(ConfigHash, depends_on_every_value_and_not_on_the_order_of_keys) {
  std::mt19937_64 engine(4);
  const SampleConfig base;
  const auto hash = [](const SampleConfig& config) { return config_hash(list_fields(config)); };
  const auto changed = [&](auto change) {
    SampleConfig other = base;
    change(other);
    return hash(other) != hash(base);
  };

  EXPECT_EQ(hash(base), hash(SampleConfig{}));
  EXPECT_TRUE(changed([](auto& c) { c.seed = 1; }));
  EXPECT_TRUE(changed([](auto& c) { c.title = "x"; }));
  EXPECT_TRUE(changed([](auto& c) { c.rate = std::nextafter(c.rate, 1.0); }));
  EXPECT_TRUE(changed([](auto& c) { c.shift = -0.0; }));
  EXPECT_TRUE(changed([](auto& c) { c.deterministic = true; }));
  EXPECT_TRUE(changed([](auto& c) { c.precision = Precision::kFloat32; }));
  auto reversed = list_fields(base);
  std::reverse(reversed.begin(), reversed.end());
  EXPECT_EQ(config_hash(reversed), hash(base));
}

TEST(Differences, name_both_values_and_whether_they_may_change) {
  SampleConfig before;
  before.title = "a = b\nc";
  SampleConfig now = before;
  now.batch = 32;
  now.port = 1;

  const auto found = differences(flatten(list_fields(before)), list_fields(now));

  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(to_string(found[0]), "monitoring.port: 9400 before, 1 now");
  EXPECT_TRUE(found[0].may_change_on_resume);
  EXPECT_EQ(to_string(found[1]), "train.batch: 64 before, 32 now");
  EXPECT_FALSE(found[1].may_change_on_resume);
  EXPECT_TRUE(differences(flatten(list_fields(now)), list_fields(now)).empty());
}

TEST(Differences, keys_of_one_side_only_are_absent_on_the_other) {
  const auto found = differences("seed = 0\nold.key = 1\n", list_fields(Scattered{}));

  ASSERT_EQ(found.size(), 5U);
  EXPECT_EQ(to_string(found[0]), "b: absent before, 2 now");
  EXPECT_EQ(to_string(found[1]), "old.key: 1 before, absent now");
  EXPECT_TRUE(differences("garbage\n\n = \n", {}).empty());
}

TEST(Differences, a_key_that_a_stored_run_lacks_had_its_default) {
  SampleConfig now;
  now.batch = 32;
  EXPECT_TRUE(differences("", list_fields(SampleConfig{}), list_fields(SampleConfig{})).empty());

  const auto found = differences("", list_fields(now), list_fields(SampleConfig{}));

  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(to_string(found[0]), "train.batch: 64 before, 32 now");
}

}  // namespace
}  // namespace atelier
