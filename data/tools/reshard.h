// A dataset cut into other shards, or packed otherwise: same samples, same order. Thread safety:
// pure functions.
#pragma once

#include <cstdint>
#include <optional>

#include "data/dataset.h"
#include "launch/base/clock.h"

namespace atelier::data {

struct ReshardOptions {
  std::uint64_t shard_bytes = 256U << 20U;  ///< a shard is not made larger than this, if it can
  std::optional<Storage> storage = {};      ///< unset: as it is
  int threads = 1;                          ///< that unpack images when shards are read back
};

/// Writes `out`. Its id is that of `dataset`, but where image files are unpacked. Throws:
/// OutputError when it exists; ConfigError when pixels are to become image files; DataError when
/// `dataset` is damaged; IoError.
Manifest reshard(FileSystem& files, const Clock& clock, const Dataset& dataset, const Path& out,
                 const ReshardOptions& options);

}  // namespace atelier::data
