// Batches for training. A planner computes which samples come, ahead of everybody; readers copy
// them into a bounded ring; the caller takes them in order. Batch s takes the positions from s·B on
// of an endless sequence of epochs, so batches are always full and straddle epochs; a rank gets its
// contiguous slots of each global batch. The position is the whole resume state.
// Thread safety: next() from one thread; stats() from any.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "data/dataset.h"
#include "data/layout.h"
#include "data/order.h"
#include "data/reader.h"

namespace atelier::data {

/// What becomes of a sample whose block is damaged.
enum class OnDamage : std::uint8_t {
  kFail,        ///< next() throws, naming it
  kSkip,        ///< its batch is smaller
  kSubstitute,  ///< the next sample of the split that is good takes its place
};

struct LoaderOptions {
  std::uint64_t batch = 64;  ///< global batch, in samples
  Shard shard = {};
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;      ///< independent orders of one run: enters the order's key
  std::uint64_t first_step = 0;  ///< step of the first next()
  /// Where the first batch begins, counted over all epochs; unset: first_step · batch.
  std::optional<std::uint64_t> first_position = {};
  std::uint64_t epochs = 0;  ///< after so many steps() end, the last batch may be smaller; 0: never
  OrderMode order = OrderMode::kFull;
  std::uint64_t lanes = BlockOrder{}.lanes;    ///< of OrderMode::kBlock
  std::uint64_t window = BlockOrder{}.window;  ///< likewise
  ReaderOptions reading = {};
  OnDamage on_damage = OnDamage::kFail;
  /// Told once of each damaged block that on_damage gets over; called by a thread of the loader.
  std::function<void(const std::string&)> tell = {};
  std::size_t readers = 1;  ///< threads that copy or unpack, a batch each; at least 1
  std::size_t depth = 3;    ///< batches read ahead, at least 1; not below `readers`
  std::chrono::nanoseconds deadline = std::chrono::seconds(120);  ///< longest wait of next()
  /// Memory for the images of a batch, by its size in bytes; empty: ordinary memory. Devices copy
  /// faster from memory of their own making.
  std::function<std::shared_ptr<void>(std::size_t)> allocate = {};
};

/// This rank's part of one global batch. Lifetime: until the following next(). Shapes: one of each
/// per sample; `slots.count` of them but for those that OnDamage::kSkip left out.
struct Batch {
  std::uint64_t step = 0;
  SlotRange slots;                            ///< which slots of the global batch these are
  std::span<const std::uint8_t> images_NHWC;  ///< Shapes: [samples, H, W, C]
  std::span<const std::int64_t> labels;
  std::span<const std::uint64_t> ids;     ///< global source index of each sample
  std::span<const std::uint64_t> epochs;  ///< epoch each slot belongs to
};

struct LoaderStats {
  std::uint64_t bytes_read = 0;       ///< from files, checks included
  std::uint64_t blocks_verified = 0;  ///< against their hashes
  std::uint64_t batches = 0;          ///< handed out by next()
  double wait_seconds = 0;            ///< time next() waited, in all
  std::uint64_t skipped = 0;          ///< samples, for damage
  std::uint64_t substituted = 0;      ///< likewise
  double planner_cpu_seconds = 0;     ///< CPU time of the planner thread
  double reader_cpu_seconds = 0;      ///< CPU time of the reader threads, together
  double unpack_cpu_seconds = 0;      ///< part of it: of images that are not stored raw
  std::size_t ready = 0;              ///< batches ready now
  std::size_t capacity = 0;           ///< most that can be
};

class Loader {
 public:
  /// Starts reading. Lifetime: keeps nothing of `dataset`. Throws: DataError (an empty split),
  /// IoError, ConfigError (a batch, depth, lane, window or number of readers of 0).
  Loader(const Dataset& dataset, Split split, const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The next batch. Requires: as many calls as steps(). Throws: what a thread met (DataError,
  /// IoError), in the batch where it met it; IoError when nothing came within the deadline. After
  /// an error every call throws again.
  [[nodiscard]] Batch next();
  /// Batches from the first to the last; with `epochs` 0 more than anybody takes.
  [[nodiscard]] std::uint64_t steps() const;
  [[nodiscard]] LoaderStats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace atelier::data
