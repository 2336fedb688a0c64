#include "monitoring/metrics.h"

#include <fstream>
#include <limits>
#include <regex>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/base/config_reader.h"
#include "launch/base/error.h"
#include "launch/base/text.h"
#include "monitoring/config.h"
#include "monitoring/exposition_text.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/monitoring/recording_log.h"

namespace atelier::monitoring {
namespace {

using namespace std::chrono_literals;
using test::FakeClock;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

MetricsOptions gan_options(int rank = 0) {
  MetricsOptions options;
  options.rank = rank;
  options.world_size = 2;
  options.nets = {"G", "D"};
  return options;
}

std::map<std::string, double> flat(const Snapshot& snapshot) {
  std::map<std::string, double> out;
  for (const Sample& sample : snapshot.samples) out[sample.series->flat] = sample.value;
  return out;
}

TEST(Metrics, counters_exist_at_zero_from_the_start) {
  const FakeClock clock;
  Metrics metrics(gan_options(), clock);

  const auto values = flat(metrics.take_snapshot(0));

  for (const char* name : {"atelier_nonfinite_values_total{net=D,rank=0,tensor=grad}",
                           "atelier_checkpoints_total{result=failure}",
                           "atelier_step_phase_seconds_total{phase=data_wait,rank=0}",
                           "atelier_metrics_rejected_total{rank=0,reason=nan}",
                           "atelier_step_duration_seconds_count{rank=0}"}) {
    ASSERT_TRUE(values.contains(name)) << name;
    EXPECT_EQ(values.at(name), 0) << name;
  }
}

TEST(Metrics, timestamps_begin_at_the_start_and_measured_gauges_are_absent) {
  const FakeClock clock(5000);
  Metrics metrics(gan_options(), clock);

  const auto values = flat(metrics.take_snapshot(0));

  EXPECT_EQ(values.at("atelier_checkpoint_last_success_timestamp_seconds"), 5000);
  EXPECT_EQ(values.at("atelier_heartbeat_timestamp_seconds{rank=0}"), 5000);
  // A 0 would raise AtelierModeCollapse, AtelierCheckpointStale and their like at once.
  for (const auto& [name, value] : values) {
    EXPECT_THAT(name, Not(testing::HasSubstr("diversity")));
    EXPECT_THAT(name, Not(testing::HasSubstr("interval")));
  }
}

TEST(Metrics, finish_step_moves_progress_and_phases) {
  const FakeClock clock(5000);
  Metrics metrics(gan_options(), clock);
  metrics.set_progress(10, 100, 0.5);
  PhaseDurations phases{};
  phases[static_cast<std::size_t>(Phase::kForward)] = 20ms;
  phases[static_cast<std::size_t>(Phase::kOther)] = 5ms;

  clock.advance(3s);
  metrics.finish_step({11, 0.55, 32, phases});

  const auto values = flat(metrics.take_snapshot(11));
  EXPECT_EQ(values.at("atelier_step"), 11);
  EXPECT_EQ(values.at("atelier_target_steps"), 100);
  EXPECT_EQ(values.at("atelier_epoch"), 0.55);
  EXPECT_EQ(values.at("atelier_optimizer_steps_total{rank=0}"), 1);
  EXPECT_EQ(values.at("atelier_samples_total{rank=0}"), 32);
  EXPECT_EQ(values.at("atelier_step_phase_seconds_total{phase=forward,rank=0}"), 0.02);
  EXPECT_EQ(values.at("atelier_step_duration_seconds_count{rank=0}"), 1);
  EXPECT_DOUBLE_EQ(values.at("atelier_step_duration_seconds_sum{rank=0}"), 0.025);
  EXPECT_EQ(values.at("atelier_last_step_timestamp_seconds{rank=0}"), 5003);
}

TEST(Metrics, counters_and_histograms_refuse_what_is_not_finite_and_count_it) {
  const FakeClock clock;
  Metrics metrics(gan_options(), clock);

  metrics.add(Family::kSamples, kNan);
  metrics.add(Family::kSamples, -3);
  metrics.add(Family::kSamples, 7);
  metrics.observe(Family::kStepDuration, kNan);
  metrics.observe(Family::kStepDuration, -kInfinity);
  metrics.set_total(Family::kDataReadBytes, kInfinity);

  EXPECT_EQ(metrics.value(Family::kSamples), 7);
  EXPECT_EQ(metrics.value(Family::kStepDuration), 0);
  EXPECT_EQ(metrics.value(Family::kMetricsRejected, {"nan"}), 2);
  EXPECT_EQ(metrics.value(Family::kMetricsRejected, {"negative"}), 1);
  EXPECT_EQ(metrics.value(Family::kMetricsRejected, {"infinite"}), 2);
}

TEST(Metrics, gauges_show_nan_and_count_it) {
  const FakeClock clock;
  Metrics metrics(gan_options(), clock);

  metrics.set_loss("G", "adversarial", kNan);
  metrics.set_loss("D", "adversarial", -kInfinity);

  EXPECT_TRUE(std::isnan(metrics.value(Family::kLoss, {"G", "adversarial"})));
  EXPECT_EQ(metrics.value(Family::kLoss, {"D", "adversarial"}), -kInfinity);
  EXPECT_EQ(metrics.value(Family::kMetricsRejected, {"nan"}), 1);
  EXPECT_EQ(metrics.value(Family::kMetricsRejected, {"infinite"}), 1);
}

TEST(Metrics, totals_of_a_source_become_increments) {
  const FakeClock clock;
  Metrics metrics(gan_options(), clock);
  metrics.continue_counters({{"atelier_data_read_bytes_total{rank=0}", 1000}});

  metrics.set_total(Family::kDataReadBytes, 40);
  metrics.set_total(Family::kDataReadBytes, 60);
  metrics.set_total(Family::kDataReadBytes, 50);  // a counter never goes back

  EXPECT_EQ(metrics.value(Family::kDataReadBytes), 1060);
  EXPECT_EQ(metrics.value(Family::kMetricsRejected, {"negative"}), 1);
}

TEST(Metrics, next_attempt_goes_on_counting) {
  const FakeClock clock;
  Metrics first(gan_options(), clock);
  first.add(Family::kSamples, 128);
  first.add(Family::kNonfiniteValues, 2, {"D", "grad"});

  std::map<std::string, double> counted;
  first.visit_counters([&](std::string_view name, double value) { counted.emplace(name, value); });

  Metrics second(gan_options(), clock);
  second.continue_counters(counted);
  second.add(Family::kSamples, 64);
  Metrics other_rank(gan_options(1), clock);
  other_rank.continue_counters(counted);

  EXPECT_EQ(second.value(Family::kSamples), 192);
  EXPECT_EQ(second.value(Family::kNonfiniteValues, {"D", "grad"}), 2);
  EXPECT_EQ(other_rank.value(Family::kSamples), 0);
}

TEST(Metrics, measured_values_enter_one_snapshot_only) {
  const FakeClock clock;
  Metrics metrics(gan_options(), clock);
  metrics.set_indicator(Indicator::kSampleDiversity, 0.93);
  metrics.set_held_out(Indicator::kSampleDiversity, 7.5);
  metrics.set_indicator(Indicator::kNearestFakeToReal, 1.04);
  metrics.set_indicator(Indicator::kKlNats, 160, "E");
  metrics.finish_quality_eval(1500ms);

  const auto with = flat(metrics.take_snapshot(1));
  const auto without = flat(metrics.take_snapshot(2));

  EXPECT_EQ(with.at("atelier_sample_diversity_ratio"), 0.93);
  EXPECT_EQ(with.at("atelier_held_out_value{indicator=sample_diversity}"), 7.5);
  EXPECT_EQ(with.at("atelier_nearest_neighbour_ratio{direction=fake_to_real}"), 1.04);
  EXPECT_EQ(with.at("atelier_kl_nats{net=E}"), 160);
  EXPECT_EQ(with.at("atelier_quality_eval_duration_seconds"), 1.5);
  EXPECT_FALSE(without.contains("atelier_sample_diversity_ratio"));
  EXPECT_TRUE(without.contains("atelier_samples_total{rank=0}"));
}

TEST(Metrics, other_ranks_export_only_what_is_theirs) {
  const FakeClock clock;
  Metrics metrics(gan_options(1), clock);
  metrics.set_loss("G", "adversarial", 1);
  metrics.add(Family::kCheckpoints, 1, {"success"});
  metrics.add(Family::kSamples, 5);

  for (const Sample& sample : metrics.take_snapshot(1).samples) {
    EXPECT_THAT(sample.series->labels, testing::Contains(Label{"rank", "1"}))
        << sample.series->name;
  }
  EXPECT_EQ(metrics.value(Family::kSamples), 5);
}

TEST(Metrics, state_is_one_of_the_enumeration) {
  const FakeClock clock;
  Metrics metrics(gan_options(), clock);

  metrics.set_state(RunState::kTraining);

  EXPECT_EQ(metrics.value(Family::kRunState, {"training"}), 1);
  EXPECT_EQ(metrics.value(Family::kRunState, {"init"}), 0);
  metrics.set_state(RunState::kFailed);
  EXPECT_EQ(metrics.value(Family::kRunState, {"failed"}), 1);
}

TEST(Metrics, log_lines_are_counted_by_level) {
  const FakeClock clock;
  Metrics metrics(gan_options(), clock);
  test::RecordingLog log;
  log.warn("one");

  metrics.set_log_counts(log);
  log.warn("two");
  metrics.set_log_counts(log);

  EXPECT_EQ(metrics.value(Family::kLogMessages, {"warning"}), 2);
}

TEST(Metrics, wrong_labels_are_a_defect_of_the_caller) {
  const FakeClock clock;
  Metrics metrics(gan_options(), clock);

  EXPECT_THROW(metrics.set(Family::kLoss, 1, {"G"}), InternalError);
  EXPECT_THROW(metrics.add(Family::kLoss, 1, {"G", "x"}), InternalError);
}

/// What the loop of a GAN sets in one step.
void update_gan_step(Metrics& metrics, int step) {
  metrics.finish_step({step, 0.1, 32, {}});
  for (const char* net : {"G", "D"}) {
    for (const char* term : {"adversarial", "r1", "r2"}) metrics.set_loss(net, term, step);
    metrics.set(Family::kGradientNorm, 1.5, {net});
    metrics.set(Family::kLearningRate, 1e-3, {net});
  }
  metrics.set_total(Family::kDataReadBytes, step * 1e5);
  metrics.set_total(Family::kAllreduceBytes, step * 1e5);
  metrics.set_total(Family::kCollectives, step * 4);
  metrics.set(Family::kDataQueueBatches, 3);
  metrics.heartbeat();
}

TEST(Metrics, update_of_one_step_costs_below_a_five_hundredth_of_20_ms) {
  const SystemClock clock;
  Metrics metrics(gan_options(), clock);
  constexpr int kSteps = 200;

  double cheapest = 1;  // of ten batches: other programs may hold the core during some
  for (int batch = 0; batch < 10; ++batch) {
    const auto start = clock.now();
    for (int i = 1; i <= kSteps; ++i) update_gan_step(metrics, batch * kSteps + i);
    cheapest = std::min(cheapest, seconds(clock.now() - start) / kSteps);
  }

  std::printf("metric update of one step: %.0f ns\n", cheapest * 1e9);
#ifndef __SANITIZE_THREAD__  // which makes everything ten to a hundred times slower
  EXPECT_LT(cheapest, 0.002 * 0.020);
#endif
}

TEST(ExpositionText, help_is_escaped_and_bytes_are_utf8) {
  EXPECT_EQ(escape_help("a\\b\nc"), "a\\\\b\\nc");
  EXPECT_EQ(valid_utf8("Zürich €\U0001F600"), "Zürich €\U0001F600");
  EXPECT_EQ(valid_utf8("a\xFF"
                       "b\xC3"),
            "a?b?");
  EXPECT_EQ(valid_utf8("\xC0\xAF\xED\xA0\x80"), "?????");  // overlong, surrogate
}

TEST(MonitoringConfig, keys_are_read_and_ranges_held) {
  const auto config = read_config<MonitoringConfig>(
      {{}, {"monitoring.port=0", "monitoring.bind=0.0.0.0", "monitoring.discovery_dir=/sd"}});

  EXPECT_EQ(config.port, 0);
  EXPECT_EQ(config.bind, "0.0.0.0");
  EXPECT_EQ(config.discovery_dir, "/sd");
  EXPECT_EQ(MonitoringConfig().port, 9410);
  for (const char* wrong : {"monitoring.port=65536", "monitoring.port=-1", "monitoring.steps=0"}) {
    EXPECT_THROW((void)read_config<MonitoringConfig>({{}, {wrong}}), ConfigError) << wrong;
  }
}

/// Rows of the first table of FAMILIES.md: "| `name` | type | labels | ranks | ...".
std::set<std::string> documented() {
  std::ifstream file(ATELIER_SOURCE_DIR "/monitoring/FAMILIES.md");
  const std::regex row_pattern(R"(\| `(atelier_\w+)` \| (\w+) \| ([^|]*) \| (\w+) \|.*)");
  std::set<std::string> out;
  for (std::string line; std::getline(file, line);) {
    std::smatch match;
    if (std::regex_match(line, match, row_pattern)) {
      out.insert(
          text(match[1].str(), " ", match[2].str(), " ", match[3].str(), " ", match[4].str()));
    }
  }
  return out;
}

TEST(Families, documented_rows_equal_the_table) {
  std::set<std::string> expected;
  for (const FamilyRow& one : families()) {
    std::vector<std::string> labels;
    for (std::size_t i = 0; i < one.label_count(); ++i) labels.emplace_back(one.labels.at(i).name);
    if (one.scope == Scope::kPerRank) labels.emplace_back("rank");
    constexpr std::array<std::string_view, 3> kTypes{"gauge", "counter", "histogram"};
    expected.insert(text(one.name, " ", kTypes.at(static_cast<std::size_t>(one.type)), " ",
                         labels.empty() ? "–" : join(labels), " ",
                         one.scope == Scope::kPerRank ? "each" : "0"));
  }

  EXPECT_EQ(documented(), expected);
}

}  // namespace
}  // namespace atelier::monitoring
