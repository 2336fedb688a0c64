#include "data/work_pool.h"

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>

namespace atelier::data {

struct WorkPool::Impl {
  void run(const std::stop_token& stop) {
    for (;;) {
      std::function<void()> work;
      {
        std::unique_lock lock(mutex);
        if (!changed.wait(lock, stop, [&] { return !queue.empty(); })) return;
        work = std::move(queue.front());
        queue.pop_front();
        ++busy;
      }
      changed.notify_all();
      std::exception_ptr problem;
      try {
        work();
      } catch (...) {
        problem = std::current_exception();
      }
      {
        const std::scoped_lock lock(mutex);
        --busy;
        if (problem && !error) error = problem;
      }
      changed.notify_all();
    }
  }

  std::size_t most = 0;  // that waits
  std::mutex mutex;
  std::condition_variable_any changed;
  std::deque<std::function<void()>> queue;  // guarded by mutex
  int busy = 0;                             // guarded by mutex
  std::exception_ptr error;                 // guarded by mutex
  std::vector<std::jthread> threads;        // last: stop before anything they use goes
};

WorkPool::WorkPool(int threads, const char* name) : impl_(std::make_unique<Impl>()) {
  constexpr std::size_t kWaitingEach = 4;
  const int count = std::max(1, threads);
  impl_->most = kWaitingEach * static_cast<std::size_t>(count);
  for (int i = 0; i < count; ++i) {
    impl_->threads.emplace_back(
        [impl = impl_.get()](const std::stop_token& stop) { impl->run(stop); });
    ::pthread_setname_np(impl_->threads.back().native_handle(), name);
  }
}

WorkPool::~WorkPool() = default;

void WorkPool::add(std::function<void()> work) {
  {
    std::unique_lock lock(impl_->mutex);
    impl_->changed.wait(
        lock, [&] { return impl_->queue.size() < impl_->most || impl_->error != nullptr; });
    if (impl_->error) std::rethrow_exception(impl_->error);
    impl_->queue.push_back(std::move(work));
  }
  impl_->changed.notify_all();
}

void WorkPool::finish() {
  std::unique_lock lock(impl_->mutex);
  impl_->changed.wait(
      lock, [&] { return (impl_->queue.empty() && impl_->busy == 0) || impl_->error != nullptr; });
  if (impl_->error) std::rethrow_exception(impl_->error);
}

}  // namespace atelier::data
