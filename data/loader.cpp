#include "data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <ctime>
#include <exception>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include <pthread.h>

#include "data/reader.h"
#include "launch/base/clock.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

double thread_cpu_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

struct RingSlot {
  std::uint64_t step = 0;
  std::shared_ptr<void> memory;
  std::span<std::uint8_t> images;  // in it
  std::vector<std::int64_t> labels;
  std::vector<std::uint64_t> ids;
  std::vector<std::uint64_t> epochs;
};

std::shared_ptr<void> ordinary_memory(std::size_t bytes) {
  return std::make_shared<std::uint8_t[]>(bytes);
}

const Dataset& checked(const Dataset& dataset, Split split, const LoaderOptions& options) {
  if (options.batch == 0 || options.depth == 0) {
    throw ConfigError(
        text("Cannot load batches of ", options.batch, " samples, ", options.depth, " ahead."),
        "Both must be at least 1.");
  }
  if (dataset.size(split) == 0) {
    throw DataError(text("The dataset '", dataset.folder().string(), "' has no ", split_name(split),
                         " images."));
  }
  return dataset;
}

}  // namespace

// One slot more than `depth`: the one the caller holds. The reader thread fills slots in turn and
// owns those that are neither ready nor held.
struct Loader::Impl {
  Impl(const Dataset& dataset, Split split, const LoaderOptions& chosen)
      : options(chosen),
        slots(slots_of(options.batch, options.shard)),
        reader(checked(dataset, split, options), split),
        order(dataset.id_hash(), options.seed, dataset.size(split), options.stream),
        ring(options.depth + 1) {
    indices.resize(slots.count);
    for (RingSlot& slot : ring) {
      const std::size_t bytes = slots.count * reader.shape().bytes();
      slot.memory = options.allocate ? options.allocate(bytes) : ordinary_memory(bytes);
      slot.images = {static_cast<std::uint8_t*>(slot.memory.get()), bytes};
      slot.labels.resize(slots.count);
      slot.ids.resize(slots.count);
      slot.epochs.resize(slots.count);
    }
    counters.capacity = options.depth;
    thread = std::jthread([this](const std::stop_token& stop) { run(stop); });
    ::pthread_setname_np(thread.native_handle(), "atelier-loader");
  }

  void run(const std::stop_token& stop) {
    std::uint64_t filled = 0;
    try {
      while (wait_for_room(stop)) {
        fill(ring[filled % ring.size()], options.first_step + filled);
        ++filled;
        publish();
      }
    } catch (...) {
      const std::scoped_lock lock(mutex);
      error = std::current_exception();
    }
    changed.notify_all();
  }

  bool wait_for_room(const std::stop_token& stop) {
    std::unique_lock lock(mutex);
    return changed.wait(lock, stop, [&] { return counters.ready < options.depth; }) &&
           !stop.stop_requested();
  }

  void fill(RingSlot& slot, std::uint64_t step) {
    slot.step = step;
    for (std::uint64_t i = 0; i < slots.count; ++i) {
      const std::uint64_t position = step * options.batch + slots.first + i;
      slot.epochs[i] = position / order.size();
      indices[i] = order(slot.epochs[i], position % order.size());
      slot.labels[i] = reader.label(indices[i]);
      slot.ids[i] = reader.id(indices[i]);
    }
    reader.read(indices, slot.images);
  }

  void publish() {
    {
      const std::scoped_lock lock(mutex);
      ++counters.ready;
      counters.bytes_read = reader.bytes_read();
      counters.blocks_verified = reader.blocks_verified();
      counters.reader_cpu_seconds = thread_cpu_seconds();
    }
    changed.notify_all();
  }

  const RingSlot& take() {
    const auto start = Clock::Steady::now();
    std::unique_lock lock(mutex);
    const bool came = changed.wait_for(lock, options.deadline,
                                       [&] { return counters.ready > 0 || error != nullptr; });
    counters.wait_seconds += seconds(Clock::Steady::now() - start);
    if (!came) {
      throw IoError(
          text("The data loader read no batch within ", human_seconds(seconds(options.deadline)),
               " (step ", options.first_step + counters.batches, ")."),
          "The storage is stuck or too slow; check it and resume.");
    }
    if (counters.ready == 0) std::rethrow_exception(error);
    const RingSlot& slot = ring[counters.batches % ring.size()];
    --counters.ready;
    ++counters.batches;
    lock.unlock();
    changed.notify_all();
    return slot;
  }

  const LoaderOptions options;
  const SlotRange slots;
  Reader reader;
  const Order order;
  std::vector<RingSlot> ring;
  std::vector<std::uint64_t> indices;
  mutable std::mutex mutex;
  std::condition_variable_any changed;
  LoaderStats counters;      // guarded by mutex
  std::exception_ptr error;  // guarded by mutex
  std::jthread thread;       // last: stops before anything it uses goes
};

Loader::Loader(const Dataset& dataset, Split split, const LoaderOptions& options)
    : impl_(std::make_unique<Impl>(dataset, split, options)) {}

Loader::~Loader() = default;

Batch Loader::next() {
  const RingSlot& slot = impl_->take();
  return {slot.step, impl_->slots, slot.images, slot.labels, slot.ids, slot.epochs};
}

LoaderStats Loader::stats() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->counters;
}

}  // namespace atelier::data
