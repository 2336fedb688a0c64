#include "launch/comm/background.h"

#include <utility>

namespace atelier::comm {

void Background::start(std::function<void()> call) {
  {
    const std::scoped_lock lock(mutex_);
    if (error_) return;  // wait() tells
    calls_.push_back(std::move(call));
  }
  changed_.notify_all();
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
}

void Background::wait() {
  if (!thread_.joinable()) return;  // nothing was ever started
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return calls_.empty(); });
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Background::abandon() noexcept {
  if (!thread_.joinable()) return;
  {
    const std::scoped_lock lock(mutex_);
    if (calls_.size() > 1) calls_.erase(calls_.begin() + 1, calls_.end());
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Background::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !calls_.empty(); });
    if (calls_.empty()) return;
    // Stays in the queue while it runs: elements of a deque do not move when others come.
    const std::function<void()>& call = calls_.front();
    lock.unlock();
    std::exception_ptr error;
    try {
      call();
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error) {
      error_ = error;
      calls_.clear();
    } else {
      calls_.pop_front();
    }
    changed_.notify_all();
  }
}

}  // namespace atelier::comm
