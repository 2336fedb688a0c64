// Sums of pixels and of their squares, from which mean and variance follow; unpacked and added on a
// few threads. Thread safety: add() and finish() from one thread.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "data/packing.h"
#include "data/work_pool.h"

namespace atelier::data {

/// By channel.
struct PixelTotals {
  std::array<std::uint64_t, 3> values{};
  std::array<std::uint64_t, 3> squares{};
};

/// Shapes: pixels [any, channels]. Requires: 1 or 3 channels.
[[nodiscard]] PixelTotals totals_of(std::span<const std::uint8_t> pixels, int channels);

class PixelSums {
 public:
  PixelSums(const Packing& packing, const ImageShape& shape, int threads)
      : packing_(packing), shape_(shape), pool_(threads, "atelier-sums") {}

  /// Stored images, one behind the other; `ends`: of each, where their bytes vary. Throws:
  /// DataError for some that cannot be unpacked.
  void add(std::span<const std::byte> stored, std::span<const std::uint64_t> ends);
  /// Throws: as add().
  [[nodiscard]] PixelTotals finish();

 private:
  void add_piece(std::span<const std::byte> stored, std::vector<std::uint64_t> ends);
  Packing packing_;
  ImageShape shape_;
  std::mutex mutex_;
  PixelTotals totals_;  // guarded by mutex_
  WorkPool pool_;       // last: stops before anything its work uses goes
};

}  // namespace atelier::data
