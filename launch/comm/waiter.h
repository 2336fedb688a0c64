// Waiting for memory that another process will write. A wait first spins for about a microsecond
// (only where each rank of the host has a core to itself), then gives its turn away, then sleeps
// in short steps: ranks share cores with each other and with loader threads. Who waits while
// another thread of the rank computes sleeps from the start. The clock is read on
// the slow path alone. A gap far longer than a nap means that this process stood still itself
// (Ctrl-Z, a suspended machine): the deadline moves by it, since the peers may have stood still
// too. Thread safety: one per wait.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>

#include <sched.h>

namespace atelier::comm {

enum class Manner : std::uint8_t { kSpin, kYield, kSleep };  ///< what a wait begins with

class Waiter {
 public:
  using Clock = std::chrono::steady_clock;
  Waiter(Manner manner, Clock::time_point deadline)
      : manner_(manner),
        deadline_(deadline),
        rounds_(manner == Manner::kSleep ? kSpins + kYields : 0) {}

  /// Lets a little time pass; false once the deadline has passed.
  [[nodiscard]] bool pause() {
    ++rounds_;
    if (manner_ == Manner::kSpin && rounds_ < kSpins) {
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
  Manner manner_;
  Clock::time_point deadline_;
  Clock::time_point looked_{};  ///< the epoch: not yet
  int rounds_;
  std::chrono::microseconds nap_{20};
};

}  // namespace atelier::comm
