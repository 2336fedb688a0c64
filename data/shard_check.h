// Compares every byte of one shard with its hashes. Works at recorded offsets without HDF5, so a
// file with damaged HDF5 structures is looked at just as safely. Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/manifest.h"
#include "launch/base/file_system.h"
#include "launch/base/hash.h"

namespace atelier::data {

struct ShardDamage {
  std::vector<std::string> findings;  ///< one sentence each; empty: every block agrees
  std::string file_hash;              ///< XXH3-64 of the whole file as it is
  std::uint64_t blocks = 0;           ///< compared
  std::uint64_t bytes = 0;            ///< read
};

/// Rows of one block and where they lie. Units: rows within the shard, bytes within the file.
struct BlockPlace {
  std::uint64_t index = 0;
  std::uint64_t first_row = 0;
  std::uint64_t rows = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};
[[nodiscard]] BlockPlace block_at(const Table& table, const TablePlace& place, std::uint64_t rows,
                                  std::uint64_t block);
/// The same block where the rows' bytes are not all of one size: it begins and ends at these bytes
/// of the table.
[[nodiscard]] BlockPlace between(BlockPlace block, const TablePlace& place, std::uint64_t begin,
                                 std::uint64_t end);

/// "Block 3 of /images in 'train-00000-of-00001.h5' (bytes 4096 to 790527, sample ids 7, 2, 5 and
/// 61 more) is damaged: expected hash …, found …". `ids`: of all rows of the shard.
[[nodiscard]] std::string damage_text(const Path& file, const Table& table, const BlockPlace& block,
                                      std::span<const std::uint64_t> ids,
                                      std::pair<std::uint64_t, std::uint64_t> expected_and_found);

/// A block whose hash is right.
struct WholeBlock {
  std::size_t table = 0;
  std::span<const std::byte> bytes = {};
  std::span<const std::uint64_t> ends = {};  ///< of each row in `bytes`, where they vary
};
/// Sees each table, block by block, in order.
using SeeBlock = std::function<void(const WholeBlock& block)>;

/// `manifest`: its tables and packing. Throws: IoError when it cannot be read, DataError when it is
/// shorter than its tables.
[[nodiscard]] ShardDamage check_shard_bytes(const Path& file, const Manifest& manifest,
                                            const ShardEntry& entry, const SeeBlock& see = {});

/// Hash of each table's rows over all shards of a split: what the identity of a dataset is made of.
/// Deflated images count as their pixels.
class ContentHashes {
 public:
  /// Lifetime: `manifest` outlives it.
  explicit ContentHashes(const Manifest& manifest)
      : manifest_(&manifest), hashers_(manifest.tables.size()) {}
  /// Blocks in order. Throws: DataError when pixels cannot be unpacked.
  void add(const WholeBlock& block);
  /// Of a table; 16 hex digits.
  [[nodiscard]] std::string hash(std::size_t table) const;

 private:
  const Manifest* manifest_;
  std::vector<Hasher> hashers_;
};

}  // namespace atelier::data
