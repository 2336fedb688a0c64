// Reads every byte of a dataset and says all that is wrong with it, not only the first thing.
// Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "launch/base/file_system.h"

namespace atelier::data {

struct VerifyReport {
  std::string dataset_id;             ///< empty when the manifest cannot be trusted
  std::vector<std::string> findings;  ///< one sentence each; empty: the dataset is as it was made
  std::uint64_t shards = 0;
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;
  [[nodiscard]] bool ok() const { return findings.empty(); }
};

/// Manifest with its own hash; of each shard the size, the whole file's hash, every block of every
/// table, and what HDF5 reads; the content hashes of the splits and the dataset id.
/// `progress(done, total)`: bytes. Throws: DataError when there is no dataset at all.
[[nodiscard]] VerifyReport verify(
    FileSystem& files, const Path& folder,
    const std::function<void(std::uint64_t, std::uint64_t)>& progress = {});

/// Some blocks of images, drawn by the seed, for a dataset that is too large to be read often. The
/// manifest is checked whole. Throws: DataError when it is damaged or a shard is missing; IoError.
[[nodiscard]] VerifyReport verify_sample(FileSystem& files, const Path& folder,
                                         std::uint64_t blocks, std::uint64_t seed);

}  // namespace atelier::data
