// Writes a dataset folder: shards and manifest grow in a hidden folder beside the target and appear
// under the final name by one rename, after every byte was read back and compared with its hash. A
// writer killed at any moment leaves nothing that looks whole; the next one clears what is left.
// Thread safety: one thread per writer; two writers of one target exclude each other by a lock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/layout.h"
#include "data/manifest.h"
#include "launch/base/clock.h"
#include "launch/base/file_system.h"
#include "launch/base/hash.h"

namespace atelier::data {

/// A hidden folder `.NAME.partial` beside `target`, locked while this lives, removed unless
/// published. What a killed process left there stays if it was made for the same `purpose`, a text
/// that is kept in the folder. Throws: OutputError when the target exists, is locked, or cannot be
/// created; IoError.
class StagingFolder {
 public:
  StagingFolder(FileSystem& files, const Path& target, const std::string& purpose = "");
  ~StagingFolder();
  StagingFolder(const StagingFolder&) = delete;
  StagingFolder& operator=(const StagingFolder&) = delete;
  [[nodiscard]] const Path& path() const { return path_; }
  /// Renames to the target and makes the rename last. Throws: OutputError, IoError.
  void publish();

 private:
  /// flock of a folder, given back by the end of the object (or of the process).
  class Lock {
   public:
    ~Lock();
    Lock() = default;
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    /// Returns false when another process holds it. Throws: OutputError.
    [[nodiscard]] bool take(const Path& folder);

   private:
    int fd_ = -1;
  };
  FileSystem& files_;
  Path target_;
  Path path_;
  Lock lock_;
  bool published_ = false;
};

struct DatasetPlan {
  ImageShape shape;
  std::vector<std::string> class_names;
  std::vector<std::string> factor_names;
  std::vector<Table> extra_tables;          ///< behind images, labels, ids
  std::array<std::uint64_t, 3> samples{};   ///< per split
  std::uint64_t shard_bytes = 256U << 20U;  ///< a shard is not made larger than this, if it can
  bool valid_from_train = false;
  std::string source;
  std::string creator = "atelier";
};

/// Rows to fill, one span per table: images, labels, ids, then the extra tables.
struct RowBlock {
  Split split = Split::kTrain;
  std::uint64_t first = 0;  ///< index of the first row within the split
  std::uint64_t count = 0;
  std::span<const std::span<std::byte>> tables;
};
using FillRows = std::function<void(const RowBlock&)>;

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
  void write_rows(const Path& path, const ShardEntry& entry, std::uint64_t first,
                  const FillRows& fill);
  void count(Split split, std::size_t table, std::span<const std::byte> rows);

  FileSystem& files_;
  Path folder_;
  DatasetPlan plan_;
  Manifest manifest_;
  std::vector<Part> parts_;
  std::vector<Hasher> content_;  ///< of the split that is being sealed, by table
};

/// Writes all shards and the manifest into `staging`. Throws: as DatasetWriter.
Manifest write_dataset(FileSystem& files, const Clock& clock, const StagingFolder& staging,
                       const DatasetPlan& plan, const FillRows& fill);

}  // namespace atelier::data
