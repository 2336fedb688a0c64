// A dataset cut into other shards: same samples, same order, same id. Thread safety: pure
// functions.
#pragma once

#include <cstdint>

#include "data/dataset.h"
#include "launch/base/clock.h"

namespace atelier::data {

/// Writes `out`, whose shards are not larger than `shard_bytes` if they can. Throws: OutputError
/// when it exists; DataError when `dataset` is damaged; IoError.
Manifest reshard(FileSystem& files, const Clock& clock, const Dataset& dataset, const Path& out,
                 std::uint64_t shard_bytes);

}  // namespace atelier::data
