#include "data/pixel_sums.h"

#include <algorithm>
#include <utility>

#include "launch/base/clones.h"
#include "launch/base/error.h"

namespace atelier::data {
namespace {

// Bytes that are added side by side: a multiple of 1 and of 3 channels and of a vector.
constexpr std::size_t kSide = 192;
// So many squares of a byte fit into 32 bits.
constexpr std::size_t kMostGroups = 65536;

struct Columns {
  std::array<std::uint32_t, kSide> values{};
  std::array<std::uint32_t, kSide> squares{};
};

ATELIER_CLONES void add_groups(const std::uint8_t* pixels, std::size_t groups, Columns& sums) {
  for (std::size_t group = 0; group < groups; ++group) {
    for (std::size_t i = 0; i < kSide; ++i) {
      const std::uint32_t value = pixels[group * kSide + i];
      sums.values[i] += value;
      sums.squares[i] += value * value;
    }
  }
}

}  // namespace

PixelTotals totals_of(std::span<const std::uint8_t> pixels, int channels) {
  ATELIER_CHECK(channels == 1 || channels == 3, "1 or 3 channels");
  const auto period = static_cast<std::size_t>(channels);
  PixelTotals totals;
  while (pixels.size() >= kSide) {
    const std::size_t groups = std::min(pixels.size() / kSide, kMostGroups);
    Columns sums;
    add_groups(pixels.data(), groups, sums);
    for (std::size_t i = 0; i < kSide; ++i) {
      totals.values[i % period] += sums.values[i];
      totals.squares[i % period] += sums.squares[i];
    }
    pixels = pixels.subspan(groups * kSide);
  }
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const std::uint64_t value = pixels[i];
    totals.values[i % period] += value;
    totals.squares[i % period] += value * value;
  }
  return totals;
}

void PixelSums::add(std::span<const std::byte> stored, std::span<const std::uint64_t> ends) {
  constexpr std::uint64_t kPiece = std::uint64_t{4} << 20U;
  if (!packing_.varies()) return add_piece(stored, {});
  std::uint64_t begin = 0;
  std::vector<std::uint64_t> piece_ends;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    piece_ends.push_back(ends[i] - begin);
    if (piece_ends.back() < kPiece && i + 1 < ends.size()) continue;
    add_piece(stored.subspan(begin, ends[i] - begin), std::exchange(piece_ends, {}));
    begin = ends[i];
  }
}

void PixelSums::add_piece(std::span<const std::byte> stored, std::vector<std::uint64_t> ends) {
  pool_.add([this, bytes = std::vector(stored.begin(), stored.end()), ends = std::move(ends)] {
    std::vector<std::uint8_t> unpacked;
    if (packing_.varies()) unpacked = unpack_all(packing_, shape_, bytes, ends);
    const std::span<const std::uint8_t> raw(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                            bytes.size());
    const PixelTotals more = totals_of(packing_.varies() ? unpacked : raw, shape_.channels);
    const std::scoped_lock lock(mutex_);
    for (std::size_t c = 0; c < totals_.values.size(); ++c) {
      totals_.values[c] += more.values[c];
      totals_.squares[c] += more.squares[c];
    }
  });
}

PixelTotals PixelSums::finish() {
  pool_.finish();
  return totals_;
}

}  // namespace atelier::data
