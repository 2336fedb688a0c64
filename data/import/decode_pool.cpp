#include "data/import/decode_pool.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>

namespace atelier::data {
namespace {

// Files travel in bundles, so that tiny images do not cost a wake-up each.
constexpr std::size_t kBundleImages = 64;
constexpr std::size_t kBundleBytes = std::size_t{4} << 20U;
constexpr std::size_t kMaxBundles = 8;

struct Bundle {
  std::vector<std::pair<std::size_t, SourceImage>> images;
  std::size_t bytes = 0;
};

}  // namespace

struct DecodePool::Impl {
  explicit Impl(Work chosen) : work(std::move(chosen)) {}

  void run(const std::stop_token& stop) {
    for (;;) {
      Bundle bundle;
      {
        std::unique_lock lock(mutex);
        if (!changed.wait(lock, stop, [&] { return !queue.empty(); })) return;
        bundle = std::move(queue.front());
        queue.pop_front();
        ++busy;
      }
      changed.notify_all();
      std::exception_ptr problem;
      try {
        for (const auto& [id, image] : bundle.images) work(id, image);
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

  void push() {
    if (open.images.empty()) return;
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return queue.size() < kMaxBundles || error != nullptr; });
      if (error) std::rethrow_exception(error);
      queue.push_back(std::exchange(open, {}));
    }
    changed.notify_all();
  }

  Work work;
  Bundle open;  // of the adding thread
  std::mutex mutex;
  std::condition_variable_any changed;
  std::deque<Bundle> queue;           // guarded by mutex
  int busy = 0;                       // guarded by mutex
  std::exception_ptr error;           // guarded by mutex
  std::vector<std::jthread> threads;  // last: stop before anything they use goes
};

DecodePool::DecodePool(int threads, Work work) : impl_(std::make_unique<Impl>(std::move(work))) {
  for (int i = 0; i < threads; ++i) {
    impl_->threads.emplace_back(
        [impl = impl_.get()](const std::stop_token& stop) { impl->run(stop); });
    ::pthread_setname_np(impl_->threads.back().native_handle(), "atelier-decode");
  }
}

DecodePool::~DecodePool() = default;

void DecodePool::add(std::size_t id, SourceImage image) {
  impl_->open.bytes += image.file.size() + (image.pixels ? image.pixels->pixels.size() : 0);
  impl_->open.images.emplace_back(id, std::move(image));
  if (impl_->open.images.size() >= kBundleImages || impl_->open.bytes >= kBundleBytes)
    impl_->push();
}

void DecodePool::finish() {
  impl_->push();
  std::unique_lock lock(impl_->mutex);
  impl_->changed.wait(
      lock, [&] { return (impl_->queue.empty() && impl_->busy == 0) || impl_->error != nullptr; });
  if (impl_->error) std::rethrow_exception(impl_->error);
}

}  // namespace atelier::data
