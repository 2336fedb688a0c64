// Which image becomes which row of the dataset. Thread safety: immutable.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "data/dataset_writer.h"
#include "data/import/import.h"
#include "data/import/scratch.h"

namespace atelier::data {

/// The images that `limit` leaves, drawn by the seed from those without a problem. By id.
[[nodiscard]] std::vector<bool> drawn(const Listing& listing, const ImportOptions& options);

class WrittenRows {
 public:
  /// Of what was decoded. Lifetime: all outlive it.
  WrittenRows(const Listing& listing, const ImportOptions& options, const ImageSize& size,
              const Scratch& scratch);

  [[nodiscard]] const DatasetPlan& plan() const { return plan_; }
  /// Throws: IoError.
  void fill(const RowBlock& block) const;

 private:
  [[nodiscard]] std::uint64_t image_of(std::uint64_t sample) const;
  [[nodiscard]] std::uint64_t mean_bytes() const;
  void fill_pixels(std::uint64_t sample, std::span<std::byte> out) const;

  const Listing& listing_;
  const Scratch& scratch_;
  /// Ids of samples per split, in the order they are written: of images, and of their mirror images
  /// behind all of those.
  std::array<std::vector<std::uint64_t>, 3> samples_;
  DatasetPlan plan_;
};

}  // namespace atelier::data
