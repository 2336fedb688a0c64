#include "monitoring/meters.h"

#include <random>

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace atelier::monitoring {
namespace {

using namespace std::chrono_literals;
using test::FakeClock;

TEST(MeanMeter, weighs_and_resets) {
  MeanMeter meter;
  EXPECT_EQ(meter.mean(), 0);

  meter.add(1, 3);
  meter.add(5, 1);

  EXPECT_DOUBLE_EQ(meter.mean(), 2);
  meter.reset();
  EXPECT_EQ(meter.mean(), 0);
}

TEST(RateMeter, forgets_what_left_the_window) {
  const Clock::Steady::time_point start{};
  RateMeter meter(10s, start);
  EXPECT_EQ(meter.per_second(start), 0);

  meter.add(start + 2s, 100);
  EXPECT_DOUBLE_EQ(meter.per_second(start + 4s), 25);  // younger than the window
  meter.add(start + 11s, 30);

  EXPECT_DOUBLE_EQ(meter.per_second(start + 11s), 13);
  EXPECT_DOUBLE_EQ(meter.per_second(start + 12s), 3);  // the first is 10 s old
  EXPECT_DOUBLE_EQ(meter.per_second(start + 60s), 0);
}

TEST(StepTimeMeter, keeps_the_last_ones) {
  StepTimeMeter meter(100);
  EXPECT_EQ(meter.statistics().count, 0U);

  meter.add(1h);  // pushed out again
  for (int i = 1; i <= 100; ++i) meter.add(i * 1ms);
  const StepTimes times = meter.statistics();

  EXPECT_EQ(times.count, 100U);
  EXPECT_NEAR(times.mean_seconds, 0.0505, 1e-12);
  EXPECT_DOUBLE_EQ(times.median_seconds, 0.050);
  EXPECT_DOUBLE_EQ(times.p99_seconds, 0.099);
  EXPECT_DOUBLE_EQ(times.max_seconds, 0.100);
}

TEST(PhaseTimer, phases_sum_to_wall_time_exactly) {
  const FakeClock clock;
  PhaseTimer timer(clock);
  std::mt19937 random(7);
  std::chrono::nanoseconds sum{0};

  for (int lap = 0; lap < 50; ++lap) {
    for (int i = 0; i < 40; ++i) {
      clock.advance(std::chrono::nanoseconds(random() % 1000003));
      const Phase phase{static_cast<std::uint8_t>(random() % kPhases)};
      if (i % 3 == 0) {
        const PhaseScope scope(timer, phase);
        clock.advance(std::chrono::nanoseconds(random() % 977));
      } else {
        timer.enter(phase);
      }
    }
    sum += total(timer.lap());
    EXPECT_EQ(sum, clock.elapsed());
  }
}

TEST(PhaseTimer, scope_returns_to_the_phase_before) {
  const FakeClock clock;
  PhaseTimer timer(clock);

  timer.enter(Phase::kBackward);
  clock.advance(3ms);
  {
    const PhaseScope scope(timer, Phase::kAllreduceWait);
    clock.advance(5ms);
  }
  clock.advance(1ms);
  const PhaseDurations lap = timer.lap();

  EXPECT_EQ(lap[static_cast<std::size_t>(Phase::kBackward)], 4ms);
  EXPECT_EQ(lap[static_cast<std::size_t>(Phase::kAllreduceWait)], 5ms);
  EXPECT_EQ(total(lap), 9ms);
  EXPECT_EQ(phase_name(Phase::kOther), "other");
}

}  // namespace
}  // namespace atelier::monitoring
