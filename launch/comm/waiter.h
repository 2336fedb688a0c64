// Waiting for memory that another process will write. A wait first spins for about a microsecond
// (only where each rank of the host has a core to itself), then gives its turn away, then sleeps
// in short steps: ranks share cores with each other and with loader threads. The clock is read on
// the slow path alone. Thread safety: one per wait.
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
      return rounds_ % 16 != 0 || Clock::now() < deadline_;
    }
    std::this_thread::sleep_for(nap_);
    nap_ = std::min(nap_ * 2, kLongestNap);
    return Clock::now() < deadline_;
  }

 private:
  static constexpr int kSpins = 100;
  static constexpr int kYields = 2000;
  static constexpr std::chrono::microseconds kLongestNap{500};
  bool may_spin_;
  Clock::time_point deadline_;
  int rounds_ = 0;
  std::chrono::microseconds nap_{20};
};

}  // namespace atelier::comm
