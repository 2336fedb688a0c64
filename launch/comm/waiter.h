// Waiting for memory that another process will write. A wait first spins for about a microsecond
// (only where each rank of the host has a core to itself), then gives its turn away, then sleeps
// in short steps: ranks share cores with each other and with loader threads. The clock is read on
// the slow path alone. A gap far longer than a nap means that this process stood still itself
// (Ctrl-Z, a suspended machine): the deadline moves by it, since the peers may have stood still
// too. Thread safety: one per wait.
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

#include <sched.h>

namespace atelier::comm {

class Waiter {
 public:
  using Clock = std::chrono::steady_clock;
  Waiter(bool may_spin, Clock::time_point deadline) : may_spin_(may_spin), deadline_(deadline) {}

  /// Lets a little time pass; false once the deadline has passed.
  [[nodiscard]] bool pause() {
    ++rounds_;
    if (may_spin_ && rounds_ < kSpins) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
      return true;
    }
    if (rounds_ < kSpins + kYields) {
      ::sched_yield();
      return rounds_ % 16 != 0 || in_time();
    }
    std::this_thread::sleep_for(nap_);
    nap_ = std::min(nap_ * 2, kLongestNap);
    return in_time();
  }

 private:
  [[nodiscard]] bool in_time() {
    const Clock::time_point now = Clock::now();
    if (looked_ != Clock::time_point{} && now - looked_ > kStoodStill) deadline_ += now - looked_;
    looked_ = now;
    return now < deadline_;
  }

  static constexpr int kSpins = 100;
  static constexpr int kYields = 2000;
  static constexpr std::chrono::microseconds kLongestNap{500};
  static constexpr std::chrono::seconds kStoodStill{2};
  bool may_spin_;
  Clock::time_point deadline_;
  Clock::time_point looked_{};  ///< the epoch: not yet
  int rounds_ = 0;
  std::chrono::microseconds nap_{20};
};

}  // namespace atelier::comm
