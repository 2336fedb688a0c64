#include "data/plan.h"

#include <algorithm>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {

Plan::Plan(const Order& order, std::uint64_t batch, Shard shard, std::uint64_t first,
           std::uint64_t end)
    : order_(order), batch_(batch), shard_(shard), first_(first), end_(end) {
  ATELIER_CHECK(batch > 0 && first <= end, text("batches of ", batch, " from ", first, " on"));
}

std::uint64_t Plan::batches() const {
  if (end_ == kEndless) return kEndless;
  return (end_ - first_ + batch_ - 1) / batch_;
}

// A stable sort by lane, of as many buckets as there are lanes.
std::vector<std::uint64_t> Plan::positions_by_lane(std::uint64_t first, std::uint64_t count) const {
  std::vector<std::uint64_t> begin(order_.lanes() + 1);
  const auto lane = [&](std::uint64_t position) { return order_.lane(position % order_.size()); };
  for (std::uint64_t i = 0; i < count; ++i) ++begin[lane(first + i) + 1];
  for (std::size_t i = 1; i < begin.size(); ++i) begin[i] += begin[i - 1];
  std::vector<std::uint64_t> sorted(count);
  for (std::uint64_t i = 0; i < count; ++i) sorted[begin[lane(first + i)]++] = first + i;
  return sorted;
}

void Plan::fill(std::uint64_t number, PlannedBatch& batch) const {
  ATELIER_CHECK(number < batches(), text("batch ", number, " of ", batches()));
  const std::uint64_t first = first_ + number * batch_;
  const std::uint64_t count = std::min(batch_, end_ - first);
  batch.slots = slots_of(count, shard_);
  batch.indices.resize(batch.slots.count);
  batch.epochs.resize(batch.slots.count);
  if (order_.lanes() > 1) {
    const std::vector<std::uint64_t> sorted = positions_by_lane(first, count);
    for (std::uint64_t i = 0; i < batch.slots.count; ++i) {
      batch.epochs[i] = sorted[batch.slots.first + i] / order_.size();
      batch.indices[i] = sorted[batch.slots.first + i] % order_.size();
    }
  } else {
    std::uint64_t epoch = (first + batch.slots.first) / order_.size();
    std::uint64_t position = (first + batch.slots.first) % order_.size();
    for (std::uint64_t i = 0; i < batch.slots.count; ++i) {
      batch.epochs[i] = epoch;
      batch.indices[i] = position++;
      if (position < order_.size()) continue;
      position = 0;
      ++epoch;
    }
  }
  // Runs of one epoch; more than two where a batch is larger than the split, or slots are sorted.
  for (std::size_t begin = 0; begin < batch.indices.size();) {
    std::size_t end = begin;
    while (end < batch.indices.size() && batch.epochs[end] == batch.epochs[begin]) ++end;
    order_.find(batch.epochs[begin], std::span(batch.indices).subspan(begin, end - begin));
    begin = end;
  }
}

}  // namespace atelier::data
