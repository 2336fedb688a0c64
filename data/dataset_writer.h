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

namespace atelier::data {

/// A hidden folder `.NAME.partial` beside `target`, locked while this lives, removed unless
/// published. Throws: OutputError when the target exists, is locked, or cannot be created.
class StagingFolder {
 public:
  StagingFolder(FileSystem& files, const Path& target);
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

/// Writes all shards and the manifest into `staging`. `fill` is called once per block, in order.
/// Throws: DataError for an impossible plan or a label without a class, IoError.
Manifest write_dataset(FileSystem& files, const Clock& clock, const StagingFolder& staging,
                       const DatasetPlan& plan, const FillRows& fill);

}  // namespace atelier::data
