#include "data/order.h"

#include <algorithm>
#include <vector>

#include "launch/base/error.h"
#include "launch/base/random.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15ULL;
constexpr std::uint64_t kOrderVersion = 1;

// What the key of an epoch is mixed with, for the permutations of block mode and its turn.
constexpr std::uint64_t kBlocks = 1;
constexpr std::uint64_t kWindows = 2;
constexpr std::uint64_t kTurn = 3;

std::uint64_t key_of(std::uint64_t dataset_hash, std::uint64_t seed, std::uint64_t stream) {
  const std::array<std::uint64_t, 3> parts{dataset_hash, seed, stream};
  return mixed_key(mix64(kOrderVersion * kGolden), parts);
}

}  // namespace

Order::Order(std::uint64_t dataset_hash, std::uint64_t seed, std::uint64_t n, std::uint64_t stream)
    : key_(key_of(dataset_hash, seed, stream)), samples_(n) {}

Order::Order(std::uint64_t dataset_hash, std::uint64_t seed, std::uint64_t n, std::uint64_t stream,
             const BlockOrder& blocks)
    : Order(dataset_hash, seed, n, stream) {
  ATELIER_CHECK(blocks.rows > 0 && blocks.lanes > 0 && blocks.window > 0, "blocks of nothing");
  mode_ = OrderMode::kBlock;
  const std::array<std::uint64_t, 3> parts{blocks.rows, blocks.lanes, blocks.window};
  key_ = mixed_key(key_, parts);
  lanes_ = std::min(blocks.lanes, n);
  rows_ = std::min(blocks.rows, n);
  blocks_ = Permutation((n + rows_ - 1) / rows_);
  window_ = rows_ * std::min(blocks.window, blocks_.size());
  // Whole windows, and the last ones of the shorter and the longer lanes.
  const std::uint64_t shorter = n / lanes_;
  const auto last = [&](std::uint64_t lane) { return (lane - 1) % window_ + 1; };
  windows_ = {Permutation(window_), Permutation(last(shorter)), Permutation(last(shorter + 1))};
}

std::uint64_t Order::operator()(std::uint64_t epoch, std::uint64_t position) const {
  find(epoch, {&position, 1});
  return position;
}

void Order::find(std::uint64_t epoch, std::span<std::uint64_t> positions) const {
  for (const std::uint64_t position : positions) {
    ATELIER_CHECK(position < size(), text("position ", position, " of ", size()));
  }
  const std::uint64_t epoch_key = mix64(key_ + epoch * kGolden);
  if (mode_ == OrderMode::kFull) return samples_.apply({&epoch_key, 1}, positions);
  shuffle_windows(epoch_key, positions);
  find_in_blocks(epoch_key, positions);
}

Order::Lane Order::lane_at(std::uint64_t number) const {
  const std::uint64_t shorter = size() / lanes_;
  const std::uint64_t longer_lanes = size() % lanes_;
  return {number * shorter + std::min(number, longer_lanes),
          shorter + (number < longer_lanes ? 1 : 0)};
}

// From positions to places in the row of permuted blocks.
void Order::shuffle_windows(std::uint64_t epoch_key, std::span<std::uint64_t> positions) const {
  std::array<std::vector<std::uint64_t>, 3> keys, offsets;
  std::array<std::vector<std::size_t>, 3> which;
  for (std::size_t i = 0; i < positions.size(); ++i) {
    const std::uint64_t number = lane(positions[i]);
    const Lane lane = lane_at(number);
    const std::uint64_t offset = positions[i] / lanes_;
    const std::uint64_t first = offset - offset % window_;
    const bool whole = lane.size - first >= window_;
    const std::size_t kind = whole ? 0 : lane.size == size() / lanes_ ? 1 : 2;
    const std::array<std::uint64_t, 3> parts{kWindows, number, first / window_};
    keys[kind].push_back(mixed_key(epoch_key, parts));
    offsets[kind].push_back(offset - first);
    which[kind].push_back(i);
    positions[i] = lane.first + first;
  }
  for (std::size_t kind = 0; kind < which.size(); ++kind) {
    if (which[kind].empty()) continue;
    windows_[kind].apply(keys[kind], offsets[kind]);
    for (std::size_t i = 0; i < which[kind].size(); ++i) {
      positions[which[kind][i]] += offsets[kind][i];
    }
  }
}

// From those to samples. All blocks are of one size but the last, wherever it lies in the row. The
// row is a ring, turned anew each epoch: else its ends would be special, as blocks begin there.
void Order::find_in_blocks(std::uint64_t epoch_key, std::span<std::uint64_t> places) const {
  const std::array<std::uint64_t, 1> blocks{kBlocks}, turns{kTurn};
  const std::uint64_t key = mixed_key(epoch_key, blocks);
  const std::uint64_t turn = mixed_key(epoch_key, turns) % size();
  const std::uint64_t last_block = blocks_.size() - 1;
  const std::uint64_t rows_of_last = size() - last_block * rows_;
  const std::uint64_t place_of_last = blocks_.inverse(key, last_block);
  std::vector<std::uint64_t> rows(places.size());
  for (std::size_t i = 0; i < places.size(); ++i) {
    const std::uint64_t turned = places[i] + turn;
    const std::uint64_t place = turned < size() ? turned : turned - size();
    const bool behind = place >= place_of_last * rows_ + rows_of_last;
    const std::uint64_t counted = behind ? place - rows_of_last + rows_ : place;
    places[i] = counted / rows_;
    rows[i] = counted % rows_;
  }
  blocks_.apply({&key, 1}, places);
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = places[i] * rows_ + rows[i];
}

SlotRange slots_of(std::uint64_t global_batch, Shard shard) {
  ATELIER_CHECK(shard.world >= 1 && shard.rank >= 0 && shard.rank < shard.world,
                text("rank ", shard.rank, " of ", shard.world));
  const auto rank = static_cast<std::uint64_t>(shard.rank);
  const auto world = static_cast<std::uint64_t>(shard.world);
  const std::uint64_t share = global_batch / world;
  const std::uint64_t larger = global_batch % world;
  return {rank * share + std::min(rank, larger), share + (rank < larger ? 1 : 0)};
}

}  // namespace atelier::data
