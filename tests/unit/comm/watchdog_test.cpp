#include "launch/comm/watchdog.h"

#include <atomic>

#include <gtest/gtest.h>

namespace atelier::comm {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kPatience{20};

template <typename Condition>
bool eventually(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(milliseconds(1));
  }
  return true;
}

struct Counted {
  std::atomic<int> alive{0};
  std::atomic<int> stuck{0};
  [[nodiscard]] WatchdogOptions options(milliseconds limit) {
    return {.alive = [this] { ++alive; },
            .stuck = [this](milliseconds) { ++stuck; },
            .limit = limit,
            .tick = milliseconds(2)};
  }
};

TEST(Watchdog, barks_once_when_nothing_happens_and_again_after_a_new_sign) {
  FlightRecorder recorder(0, 1);
  Counted counted;
  const Watchdog watchdog(recorder, counted.options(milliseconds(20)));

  EXPECT_TRUE(eventually([&] { return counted.stuck == 1; }));
  const int alive = counted.alive;
  std::this_thread::sleep_for(milliseconds(60));
  EXPECT_EQ(counted.stuck, 1);
  EXPECT_EQ(counted.alive, alive);

  recorder.set_phase("forward");
  EXPECT_TRUE(eventually([&] { return counted.alive > alive; }));
  EXPECT_TRUE(eventually([&] { return counted.stuck == 2; }));
}

TEST(Watchdog, calls_and_phases_are_signs_of_life) {
  FlightRecorder recorder(0, 1);
  Counted counted;
  const Watchdog watchdog(recorder, counted.options(std::chrono::seconds(30)));
  EXPECT_TRUE(eventually([&] { return counted.alive > 3; }));

  const std::uint64_t before = recorder.signs_of_life();
  recorder.enter({});
  recorder.leave();
  recorder.set_phase("backward");

  EXPECT_EQ(recorder.signs_of_life(), before + 3);
  EXPECT_EQ(counted.stuck, 0);
}

TEST(Watchdog, the_limit_can_change_while_it_watches) {
  FlightRecorder recorder(0, 1);
  Counted counted;
  Watchdog watchdog(recorder, counted.options(std::chrono::hours(1)));
  EXPECT_TRUE(eventually([&] { return counted.alive > 0; }));

  watchdog.set_limit(milliseconds(1));

  EXPECT_TRUE(eventually([&] { return counted.stuck == 1; }));
}

}  // namespace
}  // namespace atelier::comm
