// Batches for training: a reader thread fills a bounded ring ahead of the step. Batch s takes
// positions s·B … s·B + B − 1 of an endless sequence of epochs, so batches are always full and
// straddle epochs; a rank gets its contiguous slots of each global batch. The step number is the
// whole resume state. Thread safety: next() from one thread; stats() from any.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "data/dataset.h"
#include "data/layout.h"
#include "data/order.h"

namespace atelier::data {

struct LoaderOptions {
  std::uint64_t batch = 64;  ///< global batch, in samples
  Shard shard = {};
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;      ///< independent orders of one run: enters the order's key
  std::uint64_t first_step = 0;  ///< step of the first next()
  std::size_t depth = 3;         ///< batches read ahead, at least 1
  std::chrono::nanoseconds deadline = std::chrono::seconds(120);  ///< longest wait of next()
  /// Memory for the images of a batch, by its size in bytes; empty: ordinary memory. Devices copy
  /// faster from memory of their own making.
  std::function<std::shared_ptr<void>(std::size_t)> allocate = {};
};

/// This rank's part of one global batch. Lifetime: until the following next().
struct Batch {
  std::uint64_t step = 0;
  SlotRange slots;                            ///< which slots of the global batch these are
  std::span<const std::uint8_t> images_NHWC;  ///< Shapes: [slots.count, H, W, C]
  std::span<const std::int64_t> labels;
  std::span<const std::uint64_t> ids;     ///< global source index of each sample
  std::span<const std::uint64_t> epochs;  ///< epoch each slot belongs to
};

struct LoaderStats {
  std::uint64_t bytes_read = 0;       ///< from files, checks included
  std::uint64_t blocks_verified = 0;  ///< against their hashes
  std::uint64_t batches = 0;          ///< handed out by next()
  double wait_seconds = 0;            ///< time next() waited, in all
  double reader_cpu_seconds = 0;      ///< CPU time of the reader thread
  std::size_t ready = 0;              ///< batches ready now
  std::size_t capacity = 0;           ///< most that can be
};

class Loader {
 public:
  /// Starts reading. Lifetime: keeps nothing of `dataset`. Throws: DataError (an empty split),
  /// IoError, ConfigError (batch or depth of 0).
  Loader(const Dataset& dataset, Split split, const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The next batch. Throws: what the reader thread met (DataError, IoError), in the batch where it
  /// met it; IoError when nothing came within the deadline. After an error every call throws again.
  [[nodiscard]] Batch next();
  [[nodiscard]] LoaderStats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace atelier::data
