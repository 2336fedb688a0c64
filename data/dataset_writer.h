// Writes the shards and the manifest of a dataset into a staging folder; every byte is read back
// and compared with its hash. A writer killed at any moment leaves nothing that looks whole; the
// next one clears what is left. Thread safety: one thread per writer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/layout.h"
#include "data/manifest.h"
#include "data/shard_check.h"
#include "data/shard_writer.h"
#include "data/staging_folder.h"
#include "launch/base/clock.h"
#include "launch/base/file_system.h"

namespace atelier::data {

struct DatasetPlan {
  ImageShape shape;
  std::vector<std::string> class_names;
  std::vector<std::string> factor_names;
  std::vector<Table> extra_tables;         ///< behind images, labels, ids
  std::array<std::uint64_t, 3> samples{};  ///< per split
  Packing packing = {};
  std::uint64_t image_bytes = 0;            ///< of a stored image, about; 0: as its pixels
  std::uint64_t block_rows = 0;             ///< of images; 0: what makes blocks of about 1 MiB
  std::uint64_t shard_bytes = 256U << 20U;  ///< a shard is not made larger than this, if it can
  bool valid_from_train = false;
  std::string source;
  std::string creator = "atelier";
  int threads = 1;  ///< that sum pixels when shards are read back
};

/// The shards of a plan, which may be written in any order, by several processes in one folder. A
/// writer killed between them goes on where it was.
class DatasetWriter {
 public:
  /// `rows`: of each shard that is there already, by split; empty: cut by the plan. Throws:
  /// DataError for an impossible plan.
  DatasetWriter(FileSystem& files, Path folder, DatasetPlan plan,
                const std::vector<std::uint64_t>& rows = {});
  [[nodiscard]] std::size_t shards() const { return parts_.size(); }

  /// Writes a shard whole or not at all; does nothing when it is there already. `fill` is called
  /// once per block, in order. Throws: what `fill` throws, IoError.
  void write(std::size_t shard, const FillRows& fill);
  /// Reads a shard back and takes it into the manifest. Requires: shards in order, each written by
  /// somebody. Throws: DataError for a label without a class; IoError when it is not what was
  /// meant.
  void seal(std::size_t shard);
  /// Writes the manifest. Requires: every shard is sealed. Throws: IoError.
  Manifest finish(const Clock& clock);

 private:
  /// Of a split.
  struct Part {
    Split split;
    std::uint64_t index;
    std::uint64_t count;  ///< of shards of the split
    std::uint64_t first;  ///< row
    std::uint64_t rows;
  };
  void cut(Split split);
  void take_over(const std::vector<std::uint64_t>& rows);
  [[nodiscard]] ShardEntry entry_of(const Part& part) const;
  void count_labels(Split split, std::span<const std::byte> rows);

  FileSystem& files_;
  Path folder_;
  DatasetPlan plan_;
  Manifest manifest_;
  std::vector<Part> parts_;
  ContentHashes content_;  ///< of the split that is being sealed
};

/// Writes all shards and the manifest into `staging`. Throws: as DatasetWriter.
Manifest write_dataset(FileSystem& files, const Clock& clock, const StagingFolder& staging,
                       const DatasetPlan& plan, const FillRows& fill);

}  // namespace atelier::data
