#include "monitoring/counter_file.h"

#include <algorithm>
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

TEST_F(CounterFileTest, no_file_has_no_counters_and_damage_costs_its_record_only) {
  EXPECT_TRUE(read_counters(files_, path()).empty());
  {
    CounterFile file(path(), log_);
    metrics_.add(Family::kSamples, 64);
    file.write(metrics_);
  }
  const auto whole = read_counters(files_, path());
  std::string content = files_.read(path());
  content.replace(256 + 3, 250, 250, '\xff');     // the name and the number of the first
  content.resize(256 * (1 + whole.size()) - 10);  // within the last
  std::ofstream(path(), std::ios::binary) << content;
  EXPECT_EQ(read_counters(files_, path()).size(), whole.size() - 2);

  content[7] = '2';
  std::ofstream(path(), std::ios::binary) << content;
  EXPECT_TRUE(read_counters(files_, path()).empty());

  std::ofstream(path(), std::ios::binary) << "";
  EXPECT_TRUE(read_counters(files_, path()).empty());
}

TEST_F(CounterFileTest, keeps_an_earlier_attempt_until_the_new_one_writes) {
  {
    CounterFile first(path(), log_);
    metrics_.add(Family::kSamples, 64);
    first.write(metrics_);
  }
  CounterFile second(path(), log_);

  EXPECT_EQ(read_counters(files_, path()).at("atelier_samples_total{rank=0}"), 64);
}

TEST_F(CounterFileTest, grows_with_the_counters) {
  CounterFile file(path(), log_);
  for (int i = 0; i < 200; ++i) {
    metrics_.add(Family::kDataErrors, i, {"kind " + std::to_string(i)});
    file.write(metrics_);
  }
  const auto found = read_counters(files_, path());

  for (int i = 0; i < 200; ++i) {
    const std::string name =
        "atelier_data_errors_total{kind=kind " + std::to_string(i) + ",rank=0}";
    ASSERT_TRUE(found.contains(name)) << name;
    EXPECT_EQ(found.at(name), i);
  }
  EXPECT_EQ(files_.list(path().parent_path()).size(), 1U);
}

TEST_F(CounterFileTest, a_place_that_cannot_be_written_is_one_warning) {
  std::ofstream(folder_.path() / "counters") << "a file where the folder should be";
  CounterFile file(path(), log_);
  file.write(metrics_);
  file.write(metrics_);
  file.sync();

  ASSERT_EQ(log_.warnings.size(), 1U);
  EXPECT_NE(log_.warnings[0].find("is not kept: Cannot create"), std::string::npos);
}

TEST_F(CounterFileTest, costs_a_microsecond_a_step) {
  CounterFile file(path(), log_);
  constexpr int kSteps = 200;
  double cheapest = 1e6;  // of ten batches: other programs may hold the core during some
  for (int batch = 0; batch < 10; ++batch) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kSteps; ++i) file.write(metrics_);
    const std::chrono::duration<double, std::micro> spent =
        std::chrono::steady_clock::now() - start;
    cheapest = std::min(cheapest, spent.count() / kSteps);
  }

  RecordProperty("microseconds", std::to_string(cheapest));
#ifndef __SANITIZE_THREAD__  // which makes everything ten to a hundred times slower
  EXPECT_LT(cheapest, 50);
#endif
}

}  // namespace
}  // namespace atelier::monitoring
