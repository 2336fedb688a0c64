// Writes one shard, whose rows come block by block; its images are packed as its layout says.
// Thread safety: one thread per shard.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "data/layout.h"
#include "data/shard_layout.h"
#include "launch/base/file_system.h"

namespace atelier::data {

/// Rows to fill, one span per table: images (pixels), labels, ids, then the extra tables.
struct RowBlock {
  Split split = Split::kTrain;
  std::uint64_t first = 0;  ///< index of the first row within the split
  std::uint64_t count = 0;
  std::span<const std::span<std::byte>> tables;
  std::span<std::vector<std::byte>> files;  ///< of Storage::kEncoded: to fill instead of pixels
};
using FillRows = std::function<void(const RowBlock&)>;

/// `layout`: but for image_bytes, which is found out; `first`: the split's index of its first row.
/// `fill` is called once per block, in order. Replaces what a killed writer left. Throws: what
/// `fill` throws, IoError.
void write_shard(FileSystem& files, const Path& file, ShardLayout layout, std::uint64_t first,
                 const FillRows& fill);

}  // namespace atelier::data
