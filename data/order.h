// The sample order: epoch and position → sample, as a pure function of a key. Each epoch visits
// every sample exactly once, for any number of samples, with no table and no state; world size,
// batch size and history never enter. Values are part of the resume promise. Thread safety:
// immutable.
#pragma once

#include <cstdint>
#include <span>

#include "data/permutation.h"

namespace atelier::data {

enum class OrderMode : std::uint8_t {
  kFull,   ///< any sample may follow any other: for data in memory or on a disk without a seek time
  kBlock,  ///< few blocks of neighbours are in use at once: for data that is read from far away
};

/// Of block mode. The blocks, permuted, make one long row, cut in as many lanes; a lane goes
/// through its part in windows of some blocks, shuffled within; lanes take turns, sample by sample,
/// and change their windows one after the other. So about lanes × window blocks are in use at once,
/// and new ones are needed at a steady rate.
struct BlockOrder {
  std::uint64_t rows = 64;   ///< samples of a block
  std::uint64_t lanes = 64;  ///< more mix better
  std::uint64_t window = 4;  ///< blocks
  bool operator==(const BlockOrder&) const = default;
};

class Order {
 public:
  /// Of the function itself: a run goes on only with the one it was started with.
  static constexpr int kVersion = 1;

  /// Full mode. `dataset_hash`: Dataset::id_hash(). `stream`: independent orders of one run (a GAN
  /// uses two). Requires: 1 ≤ n ≤ 2^48.
  Order(std::uint64_t dataset_hash, std::uint64_t seed, std::uint64_t n, std::uint64_t stream = 0);
  /// Block mode. Requires: besides, no part of `blocks` is 0.
  Order(std::uint64_t dataset_hash, std::uint64_t seed, std::uint64_t n, std::uint64_t stream,
        const BlockOrder& blocks);

  /// Sample at `position` of `epoch`. Requires: position < size().
  [[nodiscard]] std::uint64_t operator()(std::uint64_t epoch, std::uint64_t position) const;
  /// Samples at `positions`, in place: many at once take a fraction of the time.
  void find(std::uint64_t epoch, std::span<std::uint64_t> positions) const;

  [[nodiscard]] std::uint64_t size() const { return samples_.size(); }
  [[nodiscard]] OrderMode mode() const { return mode_; }
  /// Positions with equal lanes read neighbouring samples. Always 0 in full mode.
  [[nodiscard]] std::uint64_t lane(std::uint64_t position) const { return position % lanes_; }
  [[nodiscard]] std::uint64_t lanes() const { return lanes_; }

 private:
  /// Of the row of all samples.
  struct Window {
    std::uint64_t first;
    std::uint64_t size;
    std::uint64_t key;
    std::uint64_t offset;  ///< of the position in it, before it is shuffled
  };
  [[nodiscard]] Window window_of(std::uint64_t epoch_key, std::uint64_t position) const;
  void shuffle_windows(std::uint64_t epoch_key, std::span<std::uint64_t> positions) const;
  void find_in_blocks(std::uint64_t epoch_key, std::span<std::uint64_t> places) const;

  OrderMode mode_ = OrderMode::kFull;
  std::uint64_t key_;
  Permutation samples_;  ///< full mode; its size in both
  std::uint64_t lanes_ = 1;
  std::uint64_t rows_ = 1;    ///< of a block
  std::uint64_t window_ = 1;  ///< samples
  Permutation blocks_{1};
  Permutation whole_window_{1};
};

/// This rank's part of a job, as the loader sees it.
struct Shard {
  int rank = 0;
  int world = 1;
};

struct SlotRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  bool operator==(const SlotRange&) const = default;
};

/// Contiguous slots of the global batch that `shard` computes; sizes differ by at most one, the
/// lower ranks have the larger ones. Requires: 0 ≤ rank < world.
[[nodiscard]] SlotRange slots_of(std::uint64_t global_batch, Shard shard);

}  // namespace atelier::data
