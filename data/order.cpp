#include "data/order.h"

#include <algorithm>
#include <array>
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
  whole_window_ = Permutation(window_);
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

// Where lanes end and begin, a window may be cut short.
Order::Window Order::window_of(std::uint64_t epoch_key, std::uint64_t position) const {
  const std::uint64_t number = lane(position);
  const std::uint64_t shorter = size() / lanes_;
  const std::uint64_t longer_lanes = size() % lanes_;
  const std::uint64_t lane_first = number * shorter + std::min(number, longer_lanes);
  const std::uint64_t lane_size = shorter + (number < longer_lanes ? 1 : 0);
  const std::uint64_t ahead = number * window_ / lanes_;  // of the first lane, in its windows
  const std::uint64_t offset = position / lanes_;
  const std::uint64_t which = (offset + ahead) / window_;
  const std::uint64_t begin = which == 0 ? 0 : which * window_ - ahead;
  const std::uint64_t end = std::min(lane_size, (which + 1) * window_ - ahead);
  const std::array<std::uint64_t, 3> parts{kWindows, number, which};
  return {.first = lane_first + begin,
          .size = end - begin,
          .key = mixed_key(epoch_key, parts),
          .offset = offset - begin};
}

// From positions to places in the row of permuted blocks.
void Order::shuffle_windows(std::uint64_t epoch_key, std::span<std::uint64_t> positions) const {
  std::vector<std::uint64_t> keys, offsets;
  std::vector<std::size_t> which;
  for (std::size_t i = 0; i < positions.size(); ++i) {
    const Window window = window_of(epoch_key, positions[i]);
    positions[i] = window.first;
    if (window.size != window_) {
      positions[i] += Permutation(window.size)(window.key, window.offset);
      continue;
    }
    keys.push_back(window.key);
    offsets.push_back(window.offset);
    which.push_back(i);
  }
  if (which.empty()) return;
  whole_window_.apply(keys, offsets);
  for (std::size_t i = 0; i < which.size(); ++i) positions[which[i]] += offsets[i];
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
