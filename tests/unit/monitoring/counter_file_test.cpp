#include "monitoring/counter_file.h"

#include <chrono>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/monitoring/recording_log.h"

namespace atelier::monitoring {
namespace {

class CounterFileTest : public testing::Test {
 protected:
  [[nodiscard]] Path path() const { return folder_.path() / "counters" / "rank-0"; }
  [[nodiscard]] static MetricsOptions options() {
    MetricsOptions options;
    options.nets = {"G", "D"};
    return options;
  }

  test::TemporaryFolder folder_;
  LocalFileSystem files_;
  test::FakeClock clock_;
  test::RecordingLog log_;
  Metrics metrics_{options(), clock_};
};

TEST_F(CounterFileTest, gives_back_every_counter_to_the_bit) {
  CounterFile file(path(), log_);
  metrics_.add(Family::kSamples, 64);
  metrics_.add(Family::kStepPhaseSeconds, 0.1 + 0.2, {"backward"});
  file.write(metrics_);
  metrics_.add(Family::kSamples, 64);
  file.write(metrics_);
  file.sync();

  const auto found = read_counters(files_, path());

  std::map<std::string, double> expected;
  metrics_.visit_counters(
      [&](std::string_view name, double value) { expected.emplace(name, value); });
  EXPECT_EQ(found, expected);
  EXPECT_EQ(found.at("atelier_samples_total{rank=0}"), 128);
  EXPECT_TRUE(log_.warnings.empty());
}

TEST_F(CounterFileTest, is_text_with_lines_that_never_straddle_a_page) {
  CounterFile file(path(), log_);
  file.write(metrics_);

  const std::string content = files_.read(path());

  ASSERT_EQ(content.size() % 256, 0U);
  for (std::size_t end = 255; end < content.size(); end += 256) EXPECT_EQ(content[end], '\n');
}

TEST_F(CounterFileTest, no_file_has_no_counters_and_damage_costs_its_line_only) {
  EXPECT_TRUE(read_counters(files_, path()).empty());
  {
    CounterFile file(path(), log_);
    metrics_.add(Family::kSamples, 64);
    file.write(metrics_);
  }
  const auto whole = read_counters(files_, path());
  std::string content = files_.read(path());
  content.replace(3, 250, 250, 'x');
  content.resize(content.size() - 10);
  std::ofstream(path(), std::ios::binary) << content;

  EXPECT_EQ(read_counters(files_, path()).size(), whole.size() - 2);
}

TEST_F(CounterFileTest, a_place_that_cannot_be_written_is_one_warning) {
  std::ofstream(folder_.path() / "counters") << "a file where the folder should be";
  CounterFile file(path(), log_);
  file.write(metrics_);
  file.write(metrics_);
  file.sync();

  ASSERT_EQ(log_.warnings.size(), 1U);
  EXPECT_NE(log_.warnings[0].find("cannot be opened"), std::string::npos);

  CounterFile full("/dev/full", log_);
  full.write(metrics_);
  full.write(metrics_);

  ASSERT_EQ(log_.warnings.size(), 2U);
  EXPECT_NE(log_.warnings[1].find("No space left"), std::string::npos);
}

TEST_F(CounterFileTest, costs_a_few_microseconds_a_step) {
  CounterFile file(path(), log_);
  constexpr int kSteps = 2000;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kSteps; ++i) file.write(metrics_);
  const std::chrono::duration<double, std::micro> spent = std::chrono::steady_clock::now() - start;

  RecordProperty("microseconds", std::to_string(spent.count() / kSteps));
  EXPECT_LT(spent.count() / kSteps, 200);  // a bound that a busy machine keeps
}

}  // namespace
}  // namespace atelier::monitoring
