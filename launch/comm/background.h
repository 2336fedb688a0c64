// Calls that run while their caller goes on: one thread that takes them in order. It exists from
// the first call on. Thread safety: one caller.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace atelier::comm {

class Background {
 public:
  Background() = default;
  ~Background() { abandon(); }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  void start(std::function<void()> call);
  /// Returns when all that was started is done. After a call that throws, none of those behind it
  /// runs. Throws: what it threw.
  void wait();
  /// Waits for the running call only and forgets the others and what went wrong.
  void abandon() noexcept;

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> calls_;  ///< the first one is running
  std::exception_ptr error_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace atelier::comm
