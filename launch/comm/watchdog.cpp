#include "launch/comm/watchdog.h"

#include <utility>

#include <pthread.h>

namespace atelier::comm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kStoodStillTicks = 3;  // a look that comes so late tells that the process was stopped

}  // namespace

Watchdog::Watchdog(const FlightRecorder& recorder, WatchdogOptions options)
    : recorder_(recorder),
      options_(std::move(options)),
      limit_ms_(options_.limit.count()),
      thread_([this] { watch(); }) {
  ::pthread_setname_np(thread_.native_handle(), "atelier-watch");
}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Watchdog::watch() {
  std::uint64_t signs = recorder_.signs_of_life();
  Clock::time_point last_sign = Clock::now();
  Clock::time_point looked = last_sign;
  bool told = false;
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, options_.tick, [this] { return ending_; })) {
    const Clock::time_point now = Clock::now();
    if (now - looked > kStoodStillTicks * options_.tick) last_sign += now - looked;
    looked = now;
    if (const std::uint64_t found = recorder_.signs_of_life(); found != signs) {
      signs = found;
      last_sign = now;
      told = false;
    }
    const auto silent = std::chrono::duration_cast<std::chrono::milliseconds>(now - last_sign);
    if (silent.count() <= limit_ms_.load()) {
      options_.alive();
    } else if (!std::exchange(told, true)) {
      options_.stuck(silent);
    }
  }
}

}  // namespace atelier::comm
