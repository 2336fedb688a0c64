#include "launch/base/config_reader.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "tests/unit/base/sample_config.h"

namespace atelier {
namespace {

using test::Precision;
using test::SampleConfig;
using ::testing::HasSubstr;

SampleConfig read(const std::string& toml, std::vector<std::string> overrides = {}) {
  return read_config<SampleConfig>({{{"run.toml", toml}}, std::move(overrides)});
}

std::string error_of(const ConfigSources& sources) {
  try {
    (void)read_config<SampleConfig>(sources);
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kUsage);
    return error.what();
  }
  return "no error";
}

TEST(ConfigReader, empty_sources_leave_the_defaults) {
  EXPECT_EQ(read_config<SampleConfig>({}), SampleConfig{});
  EXPECT_EQ(read(""), SampleConfig{});
  EXPECT_EQ(read("# a comment\n\n[train]\n[monitoring.discovery]\n"), SampleConfig{});
}

TEST(ConfigReader, reads_every_kind_of_value) {
  const SampleConfig config = read(R"(
seed = 9_223_372_036_854_775_807
title = 'C:\no escape'
monitoring = { port = 0xFFFF, discovery.folder = "/tmp/\u00e9", discovery.offset = -5 }
[train]
batch = 1
rate = 1            # an integer stands for a real
momentum = 1.0
shift = -1e-300
deterministic = true
precision = "bf16"
)");

  EXPECT_EQ(config.seed, 9223372036854775807);
  EXPECT_EQ(config.title, "C:\\no escape");
  EXPECT_EQ(config.port, 65535);
  EXPECT_EQ(config.folder, "/tmp/\xC3\xA9");
  EXPECT_EQ(config.offset, -5);
  EXPECT_EQ(config.batch, 1);
  EXPECT_EQ(config.rate, 1.0);
  EXPECT_EQ(config.shift, -1e-300);
  EXPECT_TRUE(config.deterministic);
  EXPECT_EQ(config.precision, Precision::kBFloat16);
  EXPECT_EQ(config.steps, 1000);
}

TEST(ConfigReader, later_sources_win) {
  const ConfigSources sources{{{"preset", "train.batch = 1\ntrain.steps = 1\nseed = 1"},
                               {"mine", "train.batch = 2\nseed = 2"}},
                              {"seed=3", "seed=4"}};

  const auto config = read_config<SampleConfig>(sources);

  EXPECT_EQ(config.steps, 1);
  EXPECT_EQ(config.batch, 2);
  EXPECT_EQ(config.seed, 4);
}

TEST(ConfigReader, remembers_where_values_came_from) {
  ConfigReader reader({{{"run.toml", "seed = 1\n[train]\nbatch =   8\n"}}, {"seed=3"}});
  SampleConfig config;
  describe(reader, config);

  EXPECT_EQ(reader.origin("train.batch"), "run.toml:3:11");
  EXPECT_EQ(reader.origin("seed"), "--set seed=3");
  EXPECT_EQ(reader.origin("train.steps"), "default");
}

TEST(ConfigReader, overrides_are_toml_and_bare_words_are_strings) {
  const auto config =
      read("", {"train.rate=1e-3", "train.deterministic=true", "train.precision=fp32",
                " title = my run, 2nd ", "monitoring.discovery.folder=/var/lib/x#y"});

  EXPECT_EQ(config.rate, 1e-3);
  EXPECT_TRUE(config.deterministic);
  EXPECT_EQ(config.precision, Precision::kFloat32);
  EXPECT_EQ(config.title, " my run, 2nd ");
  EXPECT_EQ(config.folder, "/var/lib/x#y");
  EXPECT_EQ(read("", {"title=\"a # \\\" b\""}).title, "a # \" b");
  EXPECT_EQ(read("", {"title=a=b"}).title, "a=b");
  EXPECT_EQ(read("", {"title=\"\""}).title, "");
  EXPECT_EQ(read("", {"title=~/runs/\\x"}).title, "~/runs/\\x");
}

TEST(ConfigReader, tells_every_fault_at_once_in_the_order_of_the_sources) {
  const std::string error =
      error_of({{{"preset gan-32", "train.batch = 'x'\n"},
                 {"run.toml", "sed = 1\n[train]\nmomentum = 2\nsteps = true\n"},
                 {"broken.toml", "a = \n"}},
                {"train.rate=-1", "nonsense"}});

  EXPECT_THAT(error, HasSubstr("7 faults:\n"));
  std::size_t from = 0;
  for (const char* part :
       {"preset gan-32:1:15: train.batch: found the string \"x\", expected an integer from 1 to "
        "1048576 (images per step over all ranks)",
        "run.toml:1:1: found the unknown key 'sed', expected a known one; did you mean 'seed'?",
        "run.toml:3:12: train.momentum: found the integer 2, expected a number from 0.0 to 1.0",
        "run.toml:4:9: train.steps: found true, expected an integer of at least 1",
        "broken.toml:1:5: found no valid TOML",
        "--set train.rate=-1: train.rate: found the integer -1, expected a number above 0",
        "--set nonsense: found no '=', expected KEY=VALUE", "'atelier config schema'"}) {
    const std::size_t at = error.find(part, from);
    EXPECT_NE(at, std::string::npos) << part << "\nin\n" << error;
    if (at != std::string::npos) from = at;
  }
}

TEST(ConfigReader, a_fault_is_told_even_where_a_later_source_overrides_it) {
  EXPECT_THAT(error_of({{{"run.toml", "seed = 'x'"}}, {"seed=1"}}), HasSubstr("run.toml:1:8"));
}

TEST(ConfigReader, callers_can_add_faults_with_the_place_of_a_key) {
  ConfigReader reader({{{"run.toml", "train.batch = 3"}}, {}});
  SampleConfig config;
  describe(reader, config);
  reader.add_fault("train.batch", "found 3, expected a multiple of the 2 ranks");

  try {
    reader.finish();
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("run.toml:1:15: train.batch: found 3"));
  }
}

TEST(ConfigReader, many_faults_are_cut_short) {
  std::string toml;
  for (int i = 0; i < 80; ++i) toml += text("unknown_", i, " = 1\n");

  EXPECT_THAT(error_of({{{"run.toml", toml}}, {}}), HasSubstr("and 30 more"));
}

// ---- one bad input each, with what its message must say

struct BadInput {
  const char* toml;
  const char* expected;
};

void PrintTo(const BadInput& input, std::ostream* out) { *out << input.toml; }

class ConfigReaderRefuses : public ::testing::TestWithParam<BadInput> {};

TEST_P(ConfigReaderRefuses, with_the_expected_words) {
  const std::string error = error_of({{{"run.toml", GetParam().toml}}, {}});

  EXPECT_THAT(error, HasSubstr(GetParam().expected));
  EXPECT_THAT(error, HasSubstr("run.toml:")) << error;
}

const BadInput kBadTypes[] = {
    {"seed = 1.0", "1:8: seed: found the number 1.0, expected an integer of at least 0"},
    {"seed = '1'", "found the string \"1\", expected an integer"},
    {"seed = true", "found true, expected an integer"},
    {"seed = [1]", "found an array, expected an integer"},
    {"seed = []", "found an array, expected an integer"},
    {"seed = {}", "found a table, expected an integer"},
    {"seed = {a = 1}", "seed: found a table, expected an integer"},
    {"[seed]", "seed: found a table, expected an integer"},
    {"[seed]\nx = 1", "2:1: seed: found a table, expected an integer"},
    {"[seed.x]\ny = 1", "seed: found a table"},
    {"[[seed]]", "seed: found an array, expected an integer"},
    {"seed = 2026-01-01", "found a date, expected an integer"},
    {"seed = 12:30:00", "found a time, expected an integer"},
    {"seed = 2026-01-01T12:30:00Z", "found a date with a time, expected an integer"},
    {"seed = inf", "found the number inf, expected an integer"},
    {"title = 1", "found the integer 1, expected a string"},
    {"title = 1.5", "found the number 1.5, expected a string"},
    {"title = true", "found true, expected a string"},
    {"title = ['a']", "found an array, expected a string"},
    {"title = 2026-01-01", "found a date, expected a string"},
    {"title = {a = 1}", "title: found a table, expected a string"},
    {"train.batch = 8.0", "found the number 8.0, expected an integer from 1 to 1048576"},
    {"train.batch = 1e3", "found the number 1000.0, expected an integer"},
    {"train.batch = false", "found false, expected an integer"},
    {"train.rate = '1e-3'", "found the string \"1e-3\", expected a number above 0"},
    {"train.rate = true", "found true, expected a number above 0"},
    {"train.rate = []", "found an array, expected a number"},
    {"train.rate = 2026-01-01", "found a date, expected a number"},
    {"train.deterministic = 1", "found the integer 1, expected true or false"},
    {"train.deterministic = 0.0", "found the number 0.0, expected true or false"},
    {"train.deterministic = 'true'", "found the string \"true\", expected true or false"},
    {"train.deterministic = [true]", "found an array, expected true or false"},
    {"train.precision = 32", "found the integer 32, expected one of 'fp32', 'bf16', 'auto'"},
    {"train.precision = true", "found true, expected one of 'fp32'"},
    {"monitoring.port = '9400'", "found the string \"9400\", expected an integer from 1 to 65535"},
};
INSTANTIATE_TEST_SUITE_P(Types, ConfigReaderRefuses, ::testing::ValuesIn(kBadTypes));

const BadInput kBadRanges[] = {
    {"seed = -1", "found the integer -1, expected an integer of at least 0"},
    {"seed = -9223372036854775808", "found the integer -9223372036854775808"},
    {"train.batch = 0", "found the integer 0, expected an integer from 1 to 1048576"},
    {"train.batch = -1", "found the integer -1, expected an integer from 1 to 1048576"},
    {"train.batch = 1048577", "found the integer 1048577"},
    {"train.batch = 0x7FFFFFFFFFFFFFFF", "found the integer 9223372036854775807"},
    {"train.steps = 0", "expected an integer of at least 1 (steps to train)"},
    {"train.rate = 0.0", "found the number 0.0, expected a number above 0"},
    {"train.rate = 0", "found the integer 0, expected a number above 0"},
    {"train.rate = -0.0", "found the number -0.0, expected a number above 0"},
    {"train.rate = -1e-300", "found the number -1e-300, expected a number above 0"},
    {"train.rate = nan", "found the number nan, expected a number above 0"},
    {"train.rate = -nan", "found the number nan"},
    {"train.rate = inf", "found the number inf, expected a number above 0"},
    {"train.rate = +inf", "found the number inf"},
    {"train.rate = -inf", "found the number -inf"},
    {"train.momentum = 1.0000000000000002",
     "found the number 1.0000000000000002, expected a number from 0.0 to 1.0"},
    {"train.momentum = -0.1", "found the number -0.1"},
    {"train.momentum = 2", "found the integer 2, expected a number from 0.0 to 1.0"},
    {"train.momentum = nan", "found the number nan, expected a number from 0.0 to 1.0"},
    {"train.shift = nan", "found the number nan, expected a number (added"},
    {"train.shift = inf", "found the number inf, expected a number (added"},
    {"train.shift = 9007199254740993", "found the integer 9007199254740993, expected a number"},
    {"monitoring.port = 0", "found the integer 0, expected an integer from 1 to 65535"},
    {"monitoring.port = 65536", "found the integer 65536"},
    {"monitoring.discovery.offset = 6", "expected an integer from -5 to 5"},
    {"monitoring.discovery.offset = -6", "expected an integer from -5 to 5"},
    {"train.precision = 'fp16'",
     "found the string \"fp16\", expected one of 'fp32', 'bf16', 'auto' (numbers the nets compute "
     "with); did you mean"},
    {"train.precision = 'FP32'", "did you mean 'fp32'?"},
    {"train.precision = 'Auto'", "did you mean 'auto'?"},
    {"train.precision = ''", "found the string \"\", expected one of"},
    {"train.precision = 'something else'", "found the string \"something else\", expected one of"},
};
INSTANTIATE_TEST_SUITE_P(Ranges, ConfigReaderRefuses, ::testing::ValuesIn(kBadRanges));

const BadInput kBadKeys[] = {
    {"sed = 1", "1:1: found the unknown key 'sed', expected a known one; did you mean 'seed'?"},
    {"Seed = 1", "unknown key 'Seed', expected a known one; did you mean 'seed'?"},
    {"batch = 1", "unknown key 'batch', expected a known one; did you mean 'train.batch'?"},
    {"[train]\nbacth = 1",
     "2:1: found the unknown key 'train.bacth', expected a known one; did you mean 'train.batch'?"},
    {"[train]\n\n  stepps = 1", "3:3: found the unknown key 'train.stepps'"},
    {"[trian]\nbatch = 1",
     "unknown key 'trian.batch', expected a known one; did you mean 'train.batch'?"},
    {"[train]\nport = 1",
     "unknown key 'train.port', expected a known one; did you mean 'monitoring.port'?"},
    {"monitoring.folder = 'x'", "did you mean 'monitoring.discovery.folder'?"},
    {"'train.batch' = 1", "unknown key '\"train.batch\"'"},
    {"train.'batch ' = 1", "unknown key 'train.\"batch \"'"},
    {"'' = 1", "unknown key '\"\"'"},
    {"[other]", "unknown key 'other'"},
    {"[train.more]", "unknown key 'train.more'"},
    {"[train.more]\nx = 1", "unknown key 'train.more.x'"},
    {"[[other]]\nx = 1", "unknown key 'other'"},
    {"zzzzzzzzzzzzzz = 1", "1:1: found the unknown key 'zzzzzzzzzzzzzz', expected a known one"},
    {"train = 1", "train: found the integer 1, expected a table with keys such as 'train.batch'"},
    {"train = 'x'", "train: found the string \"x\", expected a table"},
    {"train = []", "train: found an array, expected a table"},
    {"[[train]]\nbatch = 1", "train: found an array, expected a table"},
    {"monitoring.discovery = true",
     "found true, expected a table with keys such as 'monitoring.discovery.folder'"},
    {"monitoring = 2026-01-01", "found a date, expected a table"},
};
INSTANTIATE_TEST_SUITE_P(Keys, ConfigReaderRefuses, ::testing::ValuesIn(kBadKeys));

const BadInput kBadSyntax[] = {
    {"seed", "run.toml:1:5: found no valid TOML"},
    {"seed =", "run.toml:1:"},
    {"seed = = 1", "run.toml:1:8: found no valid TOML"},
    {"seed = 1 2", "run.toml:1:10: found no valid TOML"},
    {"seed = 01", "found no valid TOML"},
    {"seed = 1__0", "found no valid TOML"},
    {"seed = 0x", "found no valid TOML"},
    {"seed = 9223372036854775808", "found no valid TOML"},
    {"seed = 1.", "found no valid TOML"},
    {"seed = yes", "found no valid TOML"},
    {"seed = True", "found no valid TOML"},
    {"seed = 1\nseed = 2", "run.toml:2:"},
    {"[train]\n[train]", "run.toml:2:"},
    {"[train]\nbatch = 1\n[train]\nsteps = 1", "run.toml:3:"},
    {"train.batch = 1\n[train]\nsteps = 1", "run.toml:2:"},
    {"train = {batch = 1}\n[train]\nsteps = 1", "run.toml:2:"},
    {"train = {batch = 1}\ntrain.steps = 1", "run.toml:2:"},
    {"seed = 1\n[seed]", "run.toml:2:"},
    {"title = \"unfinished", "found no valid TOML"},
    {"title = 'unfinished", "found no valid TOML"},
    {"title = \"\"\"unfinished", "found no valid TOML"},
    {"title = \"\\q\"", "found no valid TOML"},
    {"title = \"\\uD800\"", "found no valid TOML"},
    {"title = \"a\nb\"", "found no valid TOML"},
    {"title = \"\xFF\"", "found no valid TOML"},
    {"\xFF\xFE", "found no valid TOML"},
    {"[train", "found no valid TOML"},
    {"[]", "found no valid TOML"},
    {"[train.]", "found no valid TOML"},
    {"[train]x", "found no valid TOML"},
    {"= 1", "found no valid TOML"},
    {".seed = 1", "found no valid TOML"},
    {"seed. = 1", "found no valid TOML"},
    {"a b = 1", "found no valid TOML"},
    {"train = {batch = 1", "found no valid TOML"},
    {"train = {batch = 1,}", "found no valid TOML"},
    {"x = [1, 2", "found no valid TOML"},
    {"x = 2026-13-01", "found no valid TOML"},
    {"{\"seed\": 1}", "found no valid TOML"},
    {"seed: 1", "found no valid TOML"},
    {"a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a."
     "a.a.a."
     "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a = 1",
     "dots in line 1, expected at most 64"},
};
INSTANTIATE_TEST_SUITE_P(Syntax, ConfigReaderRefuses, ::testing::ValuesIn(kBadSyntax));

class ConfigOverrideRefused : public ::testing::TestWithParam<BadInput> {};

TEST_P(ConfigOverrideRefused, with_the_expected_words) {
  const std::string error = error_of({{}, {GetParam().toml}});

  EXPECT_THAT(error, HasSubstr(GetParam().expected));
  EXPECT_THAT(error, HasSubstr("--set "));
}

const BadInput kBadOverrides[] = {
    {"", "--set : found no '=', expected KEY=VALUE"},
    {"seed", "--set seed: found no '=', expected KEY=VALUE"},
    {"=1", "--set =1: found an empty key, expected KEY=VALUE"},
    {" = 1", "found an empty key"},
    {"seed=", "found no value, expected KEY=VALUE; write seed='\"\"' for an empty string"},
    {"seed= \t", "found no value"},
    {"a b=1", "found no dotted key before '='"},
    {".seed=1", "found no dotted key"},
    {"seed.=1", "found no dotted key"},
    {"train..batch=1", "found no dotted key"},
    {"[train]=1", "found no dotted key"},
    {"'seed'=1", "found no dotted key"},
    {"seed=1\nseed=2", "found a control character"},
    {"title=\x01", "found a control character"},
    {"title=\"unfinished", "found no valid TOML value"},
    {"title='unfinished", "found no valid TOML value"},
    {"title=[1", "found no valid TOML value"},
    {"title={", "found no valid TOML value"},
    {"title=\"a\" # comment", "found no valid TOML value: a value followed by a comment"},
    {"title=\xFF", "found no valid TOML value"},
    {"seed=1 # one", "found the string \"1 # one\", expected an integer"},
    {"seed=abc",
     "--set seed=abc: seed: found the string \"abc\", expected an integer of at least 0"},
    {"seed=12abc", "found the string \"12abc\", expected an integer"},
    {"seed=1.5", "found the number 1.5, expected an integer"},
    {"seed=[1]", "found an array, expected an integer"},
    {"seed={a=1}", "found a table, expected an integer"},
    {"title=64",
     "found the integer 64, expected a string (name of the run in reports); for a string write "
     "title='\"...\"'"},
    {"title=true", "found true, expected a string"},
    {"train.deterministic=yes", "found the string \"yes\", expected true or false"},
    {"train.deterministic=True", "found the string \"True\", expected true or false"},
    {"train.precision=fp33", "did you mean 'fp32'?"},
    {"train.rate=nan", "found the number nan, expected a number above 0"},
    {"train.bacth=1",
     "unknown key 'train.bacth', expected a known one; did you mean 'train.batch'?"},
    {"train=1", "expected a table with keys such as 'train.batch'"},
};
INSTANTIATE_TEST_SUITE_P(Form, ConfigOverrideRefused, ::testing::ValuesIn(kBadOverrides));

TEST(ConfigReader, deep_nesting_and_long_documents_are_refused_without_harm) {
  std::string keys = "a";
  for (int i = 0; i < 60; ++i) keys += ".a";
  std::string nested = keys + " = 1";
  for (int i = 0; i < 300; ++i) nested = keys + " = [\n{" + nested + "}]";

  EXPECT_NE(error_of({{{"run.toml", nested.substr(0, 200000)}}, {}}), "no error");
  EXPECT_NE(error_of({{{"run.toml", std::string(100000, '[')}}, {}}), "no error");
  EXPECT_NE(error_of({{}, {"seed=" + std::string(100000, '[')}}), "no error");
  EXPECT_NE(error_of({{}, {"seed=" + std::string(100000, '{')}}), "no error");
  EXPECT_THAT(error_of({{{"run.toml", std::string(300000, '\n')}}, {}}),
              HasSubstr("found 300000 bytes, expected at most 262144"));
}

// ---- mistakes of our own

struct Broken {
  std::int64_t a = 0;
  int kind = 0;
};

void describe(ConfigFields& f, Broken& c) {
  if (c.kind == 0) f.integer("a", c.a, {1, 2}, {"default out of range"});
  if (c.kind == 1) f.integer("A", c.a, {}, {"no lower-case key"});
  if (c.kind == 2) f.integer("a..b", c.a, {}, {"no dotted key"});
  f.integer("b", c.a, {}, {""});
  if (c.kind == 3) f.integer("b", c.a, {}, {"described twice"});
  if (c.kind == 4) f.integer("b.c", c.a, {}, {"value and table"});
  if (c.kind == 5) f.integer("c", c.a, {}, {"two\nlines"});
}

TEST(ConfigReader, contradicting_descriptions_are_defects) {
  for (int kind = 0; kind <= 5; ++kind) {
    EXPECT_THROW((void)read_config<Broken>({}, {.kind = kind}), InternalError) << kind;
  }
  EXPECT_NO_THROW((void)read_config<Broken>({}, {.kind = 6}));
}

// ---- random input

TEST(ConfigReader, random_bytes_never_crash) {
  std::mt19937 engine(1);
  const std::string alphabet = "=.[]{}\"'#,\n\t _-+0123456789abcdeinfstruxT:Z\\\xC3\xA9\xFF";
  const std::vector<std::string> words{"seed",   "train", "batch", "rate", "[train]\n", " = ",
                                       "\"\"\"", "'''",   "1e5",   "true", "\n",        "title"};
  for (int round = 0; round < 20000; ++round) {
    std::string input;
    const auto pieces = engine() % 24;
    for (std::uint32_t i = 0; i < pieces; ++i) {
      if (engine() % 3 == 0)
        input += words[engine() % words.size()];
      else if (engine() % 4 == 0)
        input += static_cast<char>(engine() % 256);
      else
        input += alphabet[engine() % alphabet.size()];
    }
    try {
      (void)read(input);
    } catch (const ConfigError&) {
    }
    try {
      (void)read("", {input});
    } catch (const ConfigError&) {
    }
  }
}

TEST(ConfigReader, damaged_configurations_never_crash) {
  const std::string good =
      "seed = 1\ntitle = \"a\"\n[train]\nbatch = 8\nrate = 1e-3\nprecision = 'fp32'\n";
  std::mt19937 engine(2);
  for (int round = 0; round < 20000; ++round) {
    std::string damaged = good;
    for (std::uint32_t i = 0; i <= engine() % 3; ++i) {
      damaged[engine() % damaged.size()] = static_cast<char>(engine() % 256);
    }
    damaged.resize(engine() % (damaged.size() + 1));
    try {
      (void)read(damaged);
    } catch (const ConfigError&) {
    }
  }
}

}  // namespace
}  // namespace atelier
