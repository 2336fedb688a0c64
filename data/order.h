// The sample order: epoch and position → sample, as a pure function of a key. Each epoch visits
// every sample exactly once, for any number of samples, with no table and no state; world size,
// batch size and history never enter. A Feistel network over the least power of two ≥ n permutes;
// results outside [0, n) are permuted again until inside ("cycle walking", Black and Rogaway,
// CT-RSA 2002). Values are part of the resume promise. Thread safety: immutable.
#pragma once

#include <cstdint>

namespace atelier::data {

class Order {
 public:
  /// Of the function itself: a run goes on only with the one it was started with.
  static constexpr int kVersion = 1;

  /// `dataset_hash`: Dataset::id_hash(). `stream`: independent orders of one run (a GAN uses two).
  /// Requires: 1 ≤ n ≤ 2^48.
  Order(std::uint64_t dataset_hash, std::uint64_t seed, std::uint64_t n, std::uint64_t stream = 0);

  /// Sample at `position` of `epoch`. Requires: position < size().
  [[nodiscard]] std::uint64_t operator()(std::uint64_t epoch, std::uint64_t position) const;
  [[nodiscard]] std::uint64_t size() const { return n_; }

 private:
  std::uint64_t n_;
  std::uint64_t key_;
  unsigned low_bits_;
  unsigned high_bits_;
  unsigned rounds_;
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
