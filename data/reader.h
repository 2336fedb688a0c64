// Random access to the samples of one split by index. Pixels come by pread at the offsets of the
// manifest, compared once with HDF5's own; a block is checked against its hash when first touched.
// Labels and ids are held in memory. Thread safety: one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/dataset.h"
#include "data/layout.h"
#include "data/raw_file.h"

namespace atelier::data {

class Reader {
 public:
  /// Lifetime: keeps nothing of `dataset`. Throws: DataError, IoError.
  Reader(const Dataset& dataset, Split split);

  /// Copies the images at `indices`. Shapes: out [indices.size(), H, W, C]. Throws: DataError
  /// naming shard, block, bytes and sample ids of a damaged block; IoError.
  void read(std::span<const std::uint64_t> indices, std::span<std::uint8_t> out_NHWC);
  [[nodiscard]] std::int64_t label(std::uint64_t index) const { return labels_.at(index); }
  [[nodiscard]] std::uint64_t id(std::uint64_t index) const { return ids_.at(index); }
  /// Rows of any other table, e.g. "factors". Checked against its hashes on each call.
  /// Shapes: out [size(), row_bytes]. Throws: DataError when there is no such table.
  [[nodiscard]] std::vector<std::byte> table(const std::string& name) const;
  [[nodiscard]] std::uint64_t size() const { return ids_.size(); }
  [[nodiscard]] const ImageShape& shape() const { return shape_; }

  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }
  [[nodiscard]] std::uint64_t blocks_verified() const { return blocks_verified_; }

 private:
  struct OpenShard {
    RawFile file;
    ShardEntry entry;
    std::uint64_t first = 0;  ///< index of its first sample within the split
    std::vector<std::uint64_t> block_hashes;
    std::vector<bool> verified;
  };
  void open_shard(const Dataset& dataset, const ShardEntry& entry);
  [[nodiscard]] std::vector<std::byte> read_table(const OpenShard& shard, std::size_t table) const;
  void read_one(std::uint64_t index, std::span<std::byte> out);
  void verify_block(OpenShard& shard, std::uint64_t block);

  ImageShape shape_;
  std::vector<Table> tables_;
  std::vector<OpenShard> shards_;
  std::vector<std::int64_t> labels_;
  std::vector<std::uint64_t> ids_;
  std::vector<std::byte> block_buffer_;
  std::uint64_t bytes_read_ = 0;
  std::uint64_t blocks_verified_ = 0;
};

}  // namespace atelier::data
