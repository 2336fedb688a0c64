// Which samples a rank's part of each batch holds: positions of an endless sequence of epochs, by
// the order function. Pure; computed for many positions at once. Thread safety: immutable.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "data/order.h"

namespace atelier::data {

/// Samples of one rank in one batch.
struct PlannedBatch {
  SlotRange slots;                     ///< of the global batch
  std::vector<std::uint64_t> indices;  ///< one per slot
  std::vector<std::uint64_t> epochs;   ///< that each belongs to
};

class Plan {
 public:
  static constexpr std::uint64_t kEndless = std::numeric_limits<std::uint64_t>::max();

  /// `first`: position of the first batch, counted over all epochs; `end`: behind the last one.
  Plan(const Order& order, std::uint64_t batch, Shard shard, std::uint64_t first,
       std::uint64_t end = kEndless);

  [[nodiscard]] std::uint64_t batches() const;
  /// Slots follow the positions; in block mode those of a lane stand together, so that a rank reads
  /// from few of them. Requires: number < batches().
  void fill(std::uint64_t number, PlannedBatch& batch) const;

 private:
  [[nodiscard]] std::vector<std::uint64_t> positions_by_lane(std::uint64_t first,
                                                             std::uint64_t count) const;
  Order order_;
  std::uint64_t batch_;
  Shard shard_;
  std::uint64_t first_;
  std::uint64_t end_;
};

}  // namespace atelier::data
