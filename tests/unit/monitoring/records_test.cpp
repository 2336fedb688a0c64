#include "monitoring/records.h"

#include <limits>
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "launch/base/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/monitoring/recording_log.h"

namespace atelier::monitoring {
namespace {

Snapshot snapshot(std::int64_t step, double loss) {
  const auto name = [](const char* family, std::vector<Label> labels) {
    return std::make_shared<const SeriesName>(family, std::move(labels));
  };
  return {step,
          1.7e9,
          {{name("atelier_loss", {{"term", "adversarial"}, {"net", "G"}}), loss},
           {name("atelier_epoch", {}), 0.1}}};
}

const std::string kLoss = "atelier_loss{net=G,term=adversarial}";

struct RecordsTest : testing::Test {
  test::TemporaryFolder folder;
  LocalFileSystem files;
  test::RecordingLog log;
  Path path = folder.path() / "stats.jsonl";
};

TEST(StatsLine, has_flat_names_and_exact_numbers) {
  EXPECT_EQ(stats_line(snapshot(3, 1.0 / 3), 2),
            R"({"attempt":2,"step":3,"unix_seconds":1.7e+09,)"
            R"("atelier_loss{net=G,term=adversarial}":0.3333333333333333,"atelier_epoch":0.1})");
}

TEST(StatsLine, is_json_whatever_the_label) {
  const auto odd =
      std::make_shared<const SeriesName>("atelier_x", std::vector<Label>{{"a", "\"\n"}});

  EXPECT_EQ(nlohmann::json::parse(stats_line({1, 0, {{odd, 1e300}}}, 1))["atelier_x{a=\"\n}"],
            1e300);
}

TEST(StatsLine, what_is_not_finite_is_null) {
  const std::string line = stats_line(snapshot(3, std::numeric_limits<double>::infinity()), 1);

  EXPECT_THAT(line, testing::HasSubstr("adversarial}\":null"));
}

TEST_F(RecordsTest, reads_back_what_was_written_to_the_bit) {
  StatsWriter writer(path, 1, log);
  writer.append(snapshot(1, 0.1 + 0.2));
  writer.append(snapshot(2, std::numeric_limits<double>::quiet_NaN()));

  const Stats stats = read_stats(files, path);

  ASSERT_EQ(stats.steps.size(), 2U);
  EXPECT_EQ(stats.steps.at(1).values.at(kLoss), 0.1 + 0.2);
  EXPECT_EQ(stats.steps.at(1).unix_seconds, 1.7e9);
  EXPECT_EQ(stats.steps.at(2).values.at(kLoss), std::nullopt);
  EXPECT_EQ(stats.damaged_lines, 0);
}

TEST_F(RecordsTest, the_highest_attempt_of_a_step_wins) {
  StatsWriter(path, 1, log).append(snapshot(1, 10));
  StatsWriter first(path, 1, log);
  first.append(snapshot(2, 20));
  first.append(snapshot(3, 30));
  StatsWriter(path, 2, log).append(snapshot(2, 21));

  const Stats stats = read_stats(files, path);

  EXPECT_EQ(stats.last_attempt, 2);
  EXPECT_EQ(stats.steps.at(1).values.at(kLoss), 10);
  EXPECT_EQ(stats.steps.at(2).values.at(kLoss), 21);
  EXPECT_EQ(stats.steps.at(2).attempt, 2);
  EXPECT_EQ(stats.steps.at(3).values.at(kLoss), 30);
}

TEST_F(RecordsTest, a_line_cut_anywhere_costs_that_line_only) {
  const std::string first = stats_line(snapshot(1, 10), 1) + '\n';
  const std::string second = stats_line(snapshot(2, 20), 1);

  for (std::size_t cut = 1; cut <= second.size(); ++cut) {
    std::filesystem::remove(path);
    std::ofstream(path, std::ios::binary) << first << second.substr(0, cut);
    EXPECT_EQ(read_stats(files, path).damaged_lines, 1) << cut;

    StatsWriter(path, 2, log).append(snapshot(2, 21));
    const Stats stats = read_stats(files, path);

    ASSERT_EQ(stats.steps.size(), 2U) << cut;
    EXPECT_EQ(stats.steps.at(2).values.at(kLoss), 21);
    EXPECT_EQ(stats.damaged_lines, cut == second.size() ? 0 : 1) << cut;
  }
}

TEST_F(RecordsTest, garbage_lines_are_counted) {
  std::ofstream(path, std::ios::binary)
      << "\xff garbage\n[1,2]\n{}\n{\"step\":1}\n{\"step\":1,\"attempt\":0}\n"
      << stats_line(snapshot(5, 1), 1) << "\n\n";

  const Stats stats = read_stats(files, path);

  EXPECT_EQ(stats.steps.size(), 1U);
  EXPECT_EQ(stats.damaged_lines, 5);
}

TEST_F(RecordsTest, a_full_disk_is_one_warning) {
  StatsWriter writer("/dev/full", 1, log);

  writer.append(snapshot(1, 1));
  writer.append(snapshot(2, 2));

  ASSERT_EQ(log.warnings.size(), 1U);
  EXPECT_THAT(log.warnings[0], testing::HasSubstr("at step 1"));
}

TEST_F(RecordsTest, missing_folder_or_file_is_an_io_error) {
  EXPECT_THROW(StatsWriter(folder.path() / "no/stats.jsonl", 1, log), IoError);
  EXPECT_THROW((void)read_stats(files, folder.path() / "none"), IoError);
}

}  // namespace
}  // namespace atelier::monitoring
