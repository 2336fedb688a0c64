#include "data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <set>
#include <stop_token>
#include <thread>
#include <vector>

#include <pthread.h>

#include "data/cpu_time.h"
#include "data/large_memory.h"
#include "data/plan.h"
#include "launch/base/clock.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

// Batches that the planner plans when few are left.
constexpr std::uint64_t kPlannedTogether = 8;
// How far ahead of what is planned blocks are asked for, in block mode: of the system, which is
// slow to begin, and of ourselves.
constexpr std::uint64_t kHintedBytes = 256U << 20U;
constexpr std::uint64_t kFetchedBytes = 64U << 20U;

/// A batch whose pixels are still to be read.
struct Planned {
  PlannedBatch plan;
  std::vector<BlockCache::Wanted> kept;  // until the pixels are read
  std::vector<std::int64_t> labels;
  std::vector<std::uint64_t> ids;
};

struct RingSlot {
  bool ready = false;  // guarded by the loader's mutex
  std::uint64_t step = 0;
  Planned batch;
  std::shared_ptr<void> memory;
  std::span<std::uint8_t> images;  // in it
};

struct Ahead {
  PlannedBatch plan;
  std::vector<BlockCache::Wanted> kept;
  std::uint64_t hinted = 0;  // bytes
};

// A reader fills a batch by itself, so that many must be under way for all to have one.
LoaderOptions with_work_for_all(LoaderOptions options) {
  if (options.depth > 0) options.depth = std::max(options.depth, options.readers);
  return options;
}

const Dataset& checked(const Dataset& dataset, Split split, const LoaderOptions& options) {
  if (options.batch == 0 || options.depth == 0 || options.readers == 0 || options.lanes == 0 ||
      options.window == 0) {
    throw ConfigError(text("Cannot load batches of ", options.batch, " samples, ", options.depth,
                           " ahead, with ", options.readers, " readers, in ", options.lanes,
                           " lanes with windows of ", options.window, " blocks."),
                      "All must be at least 1.");
  }
  if (dataset.size(split) == 0) {
    throw DataError(text("The dataset '", dataset.folder().string(), "' has no ", split_name(split),
                         " images."));
  }
  return dataset;
}

ReaderOptions reading_of(const LoaderOptions& options) {
  ReaderOptions reading = options.reading;
  reading.in_blocks = options.order == OrderMode::kBlock;
  return reading;
}

Order order_of(const Dataset& dataset, std::uint64_t size, std::uint64_t block_rows,
               const LoaderOptions& options) {
  const std::uint64_t id = dataset.id_hash();
  if (options.order == OrderMode::kFull) return {id, options.seed, size, options.stream};
  return {id,
          options.seed,
          size,
          options.stream,
          {.rows = block_rows, .lanes = options.lanes, .window = options.window}};
}

Plan plan_of(const Order& order, const LoaderOptions& options) {
  const std::uint64_t first = options.first_position.value_or(options.first_step * options.batch);
  const std::uint64_t end =
      options.epochs == 0 ? Plan::kEndless : std::max(first, options.epochs * order.size());
  return {order, options.batch, options.shard, first, end};
}

}  // namespace

// One slot more than `depth`: the one the caller holds. Slots go round: readers fill those that are
// free with what is planned, the caller takes those that are ready, all in order.
struct Loader::Impl {
  Impl(const Dataset& dataset, Split split, const LoaderOptions& chosen)
      : options(with_work_for_all(chosen)),
        reader(checked(dataset, split, options), split, reading_of(options)),
        order(order_of(dataset, reader.size(), reader.block_rows(), options)),
        plan(plan_of(order, options)),
        ring(options.depth + 1),
        hinted(reader.blocks()),
        most_hinted(reader.is_direct() ? kFetchedBytes : kHintedBytes) {
    for (RingSlot& slot : ring) {
      const std::size_t most = slots_of(options.batch, options.shard).count;
      const std::size_t bytes = most * reader.shape().bytes();
      slot.memory = options.allocate ? options.allocate(bytes) : large_memory(bytes);
      slot.images = {static_cast<std::uint8_t*>(slot.memory.get()), bytes};
    }
    counters.capacity = options.depth;
    const auto start = [this](const char* name, auto work) {
      threads.emplace_back([this, work](const std::stop_token& stop) { (this->*work)(stop); });
      ::pthread_setname_np(threads.back().native_handle(), name);
    };
    start("atelier-planner", &Impl::plan_all);
    for (std::size_t i = 0; i < options.readers; ++i) start("atelier-reader", &Impl::read_all);
  }

  ~Impl() {
    for (std::jthread& thread : threads) thread.request_stop();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  RingSlot& slot_of(std::uint64_t number) { return ring[number % ring.size()]; }

  // Work on a batch that others wait for. What it throws, next() throws at that batch.
  template <typename Work>
  bool works(std::uint64_t number, Work work) {
    try {
      work();
      return true;
    } catch (...) {
      const std::scoped_lock lock(mutex);
      if (!error || number < failed) {
        error = std::current_exception();
        failed = number;
      }
    }
    for (auto* const waited_for : {&wants_plans, &has_work, &has_come}) waited_for->notify_all();
    return false;
  }

  // Plans many batches, then waits until few are left: the planner is woken seldom, and no reader
  // waits for it.
  void plan_all(const std::stop_token& stop) {
    std::uint64_t filled_to = 0;
    for (std::uint64_t number = 0; number < plan.batches(); ++number) {
      if (number == filled_to) {
        std::unique_lock lock(mutex);
        const bool few =
            wants_plans.wait(lock, stop, [&] { return planned.size() <= options.depth; });
        if (!few) return;
        filled_to = number + kPlannedTogether;
      }
      if (stop.stop_requested()) return;
      Planned next;
      if (!works(number, [&] { next = plan_one(number); })) return;
      {
        const std::scoped_lock lock(mutex);
        planned.push_back(std::move(next));
        counters.planner_cpu_seconds = thread_cpu_seconds();
      }
      has_work.notify_one();
    }
  }

  Planned plan_one(std::uint64_t number) {
    look_ahead(number);
    Planned next{.plan = std::move(ahead.front().plan),
                 .kept = std::move(ahead.front().kept),
                 .labels = {},
                 .ids = {}};
    ahead.pop_front();
    next.labels.resize(next.plan.indices.size());
    next.ids.resize(next.plan.indices.size());
    reader.labels(next.plan.indices, next.labels);
    reader.ids(next.plan.indices, next.ids);
    return next;
  }

  // Plans the batch and, in block mode, those behind it that the system shall read meanwhile: so
  // far that what was asked for and is not yet under way is worth most_hinted.
  void look_ahead(std::uint64_t number) {
    const std::uint64_t most = number + 1 + order.size() / options.batch;
    const auto far_enough = [&] {
      if (looked_at <= number) return false;
      return order.mode() != OrderMode::kBlock || hinted_ahead >= most_hinted || looked_at >= most;
    };
    while (looked_at < plan.batches() && !far_enough()) {
      Ahead& next = ahead.emplace_back();
      plan.fill(looked_at++, next.plan);
      if (order.mode() == OrderMode::kBlock) hint(next);
      hinted_ahead += next.hinted;
    }
    hinted_ahead -= ahead.front().hinted;
  }

  // The samples lie in few blocks: of the system each is asked for once an epoch; direct reads keep
  // it from one batch that needs it to the next.
  void hint(Ahead& batch) {
    for (std::size_t i = 0; i < batch.plan.indices.size(); ++i) {
      std::uint64_t& last = hinted[reader.block_of(batch.plan.indices[i])];
      const std::uint64_t now = 1 + (reader.is_direct() ? looked_at : batch.plan.epochs[i]);
      if (last == now) continue;
      last = now;
      Reader::Coming coming = reader.will_need(batch.plan.indices[i]);
      batch.hinted += coming.bytes;
      if (coming.kept) batch.kept.push_back(std::move(coming.kept));
    }
  }

  void read_all(const std::stop_token& stop) {
    double cpu_before = 0;
    while (true) {
      std::uint64_t number = 0;
      {
        std::unique_lock lock(mutex);
        const bool some = has_work.wait(lock, stop, [&] {
          return !planned.empty() && claimed < counters.batches + options.depth;
        });
        if (!some || stop.stop_requested()) return;
        number = claimed++;
        RingSlot& slot = slot_of(number);
        slot.step = options.first_step + number;
        slot.batch = std::move(planned.front());
        planned.pop_front();
      }
      wants_plans.notify_one();
      RingSlot& slot = slot_of(number);
      double unpacking = 0;
      const bool worked = works(number, [&] {
        if (options.on_damage != OnDamage::kFail) get_over_damage(slot);
        unpacking =
            reader.read(slot.batch.plan.indices,
                        slot.images.first(slot.batch.plan.indices.size() * reader.shape().bytes()));
      });
      if (!worked) return;
      slot.batch.kept.clear();
      const double cpu = thread_cpu_seconds();
      {
        const std::scoped_lock lock(mutex);
        slot.ready = true;
        ++counters.ready;
        counters.bytes_read = reader.bytes_read();
        counters.blocks_verified = reader.blocks_verified();
        counters.reader_cpu_seconds += cpu - cpu_before;
        counters.unpack_cpu_seconds += unpacking;
      }
      cpu_before = cpu;
      has_come.notify_one();
    }
  }

  void get_over_damage(RingSlot& slot) {
    std::uint64_t skipped = 0, substituted = 0;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < slot.batch.plan.indices.size(); ++i) {
      std::uint64_t index = slot.batch.plan.indices[i];
      if (is_damaged(index)) {
        if (options.on_damage == OnDamage::kSkip) {
          ++skipped;
          continue;
        }
        index = reader.good_from(index);
        ++substituted;
        slot.batch.labels[i] = reader.label(index);
        slot.batch.ids[i] = reader.id(index);
      }
      slot.batch.plan.indices[kept] = index;
      slot.batch.plan.epochs[kept] = slot.batch.plan.epochs[i];
      slot.batch.labels[kept] = slot.batch.labels[i];
      slot.batch.ids[kept++] = slot.batch.ids[i];
    }
    slot.batch.plan.indices.resize(kept);
    slot.batch.plan.epochs.resize(kept);
    slot.batch.labels.resize(kept);
    slot.batch.ids.resize(kept);
    const std::scoped_lock lock(mutex);
    counters.skipped += skipped;
    counters.substituted += substituted;
  }

  bool is_damaged(std::uint64_t index) {
    const auto damage = reader.damage_of(index);
    if (!damage) return false;
    const std::scoped_lock lock(mutex);
    if (told.insert(*damage).second && options.tell) options.tell(*damage);
    return true;
  }

  // Whether what the next batch waits for will never come. Requires: mutex is held.
  [[nodiscard]] bool has_failed() const { return error != nullptr && counters.batches >= failed; }

  RingSlot& take() {
    const auto start = Clock::Steady::now();
    std::unique_lock lock(mutex);
    ATELIER_CHECK(counters.batches < plan.batches(), "no more batches than there are");
    RingSlot& slot = slot_of(counters.batches);
    const bool came =
        has_come.wait_for(lock, options.deadline, [&] { return slot.ready || has_failed(); });
    counters.wait_seconds += seconds(Clock::Steady::now() - start);
    if (!came) {
      throw IoError(
          text("The data loader read no batch within ", human_seconds(seconds(options.deadline)),
               " (step ", options.first_step + counters.batches, ")."),
          "The storage is stuck or too slow; check it and resume.");
    }
    if (!slot.ready) std::rethrow_exception(error);
    slot.ready = false;
    --counters.ready;
    ++counters.batches;
    lock.unlock();
    has_work.notify_one();
    return slot;
  }

  const LoaderOptions options;
  Reader reader;
  const Order order;
  const Plan plan;
  std::vector<RingSlot> ring;
  // By block: one more than the epoch, or with direct reads batch, that it was last asked for in.
  std::vector<std::uint64_t> hinted;
  std::uint64_t most_hinted;       // bytes
  std::deque<Ahead> ahead;         // planned, from the next one on
  std::uint64_t looked_at = 0;     // batches
  std::uint64_t hinted_ahead = 0;  // bytes that they asked for
  mutable std::mutex mutex;
  // Of each thread its own: waking one that waits for something else costs as much as a copy.
  std::condition_variable_any wants_plans;  // for the planner
  std::condition_variable_any has_work;     // for readers
  std::condition_variable_any has_come;     // for the caller
  std::deque<Planned>
      planned;  // not yet claimed; this and all below but the threads guarded by mutex
  std::uint64_t claimed = 0;  // batches, by readers
  LoaderStats counters;
  std::set<std::string> told;  // damage
  std::exception_ptr error;
  std::uint64_t failed = 0;           // the first batch that error keeps from coming
  std::vector<std::jthread> threads;  // last: stop before anything they use goes
};

Loader::Loader(const Dataset& dataset, Split split, const LoaderOptions& options)
    : impl_(std::make_unique<Impl>(dataset, split, options)) {}

Loader::~Loader() = default;

Batch Loader::next() {
  const RingSlot& slot = impl_->take();
  const std::size_t bytes = slot.batch.plan.indices.size() * impl_->reader.shape().bytes();
  return {.step = slot.step,
          .slots = slot.batch.plan.slots,
          .images_NHWC = slot.images.first(bytes),
          .labels = slot.batch.labels,
          .ids = slot.batch.ids,
          .epochs = slot.batch.plan.epochs};
}

std::uint64_t Loader::steps() const { return impl_->plan.batches(); }

LoaderStats Loader::stats() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->counters;
}

}  // namespace atelier::data
