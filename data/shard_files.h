// The bytes of a split's shards, by shard and offset. Files of a local disk that fit into memory
// are mapped; others are read, few of them open at a time. A shard is compared with its manifest
// when it is first touched. Thread safety: all calls.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "data/layout.h"
#include "data/raw_file.h"
#include "data/shard_layout.h"

namespace atelier::data {

enum class Access : std::uint8_t {
  kAuto,    ///< as chosen_access() says
  kMap,     ///< the system keeps what was read
  kRead,    ///< likewise; by pread
  kDirect,  ///< images come in whole blocks past the system's cache, into memory of our own
};

/// What kAuto is for files of a split. Local ones that take at most half of the memory are mapped.
/// Of others the system could keep a part only: they are read, and `in_blocks`, where neighbours
/// are used up together, directly.
[[nodiscard]] Access chosen_access(std::uint64_t split_bytes, std::uint64_t memory_bytes,
                                   bool is_remote, bool in_blocks);

class ShardFiles {
 public:
  static constexpr std::size_t kMostOpen = 256;  ///< files, where they are not mapped

  /// `in_blocks`: of chosen_access(). Lifetime: keeps nothing of `dataset`. Throws: IoError where
  /// kDirect is asked for and the file system cannot.
  ShardFiles(const Dataset& dataset, Split split, Access access, bool in_blocks = false);
  ~ShardFiles();
  ShardFiles(const ShardFiles&) = delete;
  ShardFiles& operator=(const ShardFiles&) = delete;

  [[nodiscard]] std::size_t count() const { return shards_.size(); }
  [[nodiscard]] const ShardEntry& entry(std::size_t shard) const { return shards_[shard]->entry; }
  [[nodiscard]] Path path(std::size_t shard) const { return folder_ / entry(shard).file; }
  /// All but what is read directly.
  [[nodiscard]] bool maps() const { return maps_; }
  /// Whether images are to be read directly.
  [[nodiscard]] bool is_direct() const { return direct_; }

  /// The whole file; to be read by guarded work only (guarded.h). Requires: maps(). Throws:
  /// IoError, DataError when it is not what the manifest says.
  [[nodiscard]] const std::byte* mapped(std::size_t shard);
  /// Throws: as mapped().
  void read(std::size_t shard, std::uint64_t offset, std::span<std::byte> out);
  /// Past the system's cache: RawFile::read_direct(). Throws: as mapped().
  [[nodiscard]] std::size_t read_direct(std::size_t shard, std::uint64_t offset,
                                        std::span<std::byte> out);
  /// Asks the system to bring bytes into its cache; returns at once. Throws: as mapped().
  void will_need(std::size_t shard, std::uint64_t offset, std::uint64_t bytes);

  /// What to throw when guarded work failed: names the shards among `shards` that are to blame.
  [[noreturn]] void throw_lost(std::span<const std::size_t> shards) const;

 private:
  struct One {
    ShardEntry entry;
    std::atomic<const std::byte*> bytes{nullptr};
    std::atomic<bool> compared{false};
  };
  using Key = std::pair<std::size_t, RawFile::Mode>;
  struct Open {
    std::shared_ptr<RawFile> file;
    std::list<Key>::iterator turn;
  };
  [[nodiscard]] std::shared_ptr<RawFile> open(std::size_t shard, RawFile::Mode mode);
  [[nodiscard]] RawFile open_anew(std::size_t shard, RawFile::Mode mode);

  Path folder_;
  ShardLayout
      layout_;  ///< what the first shard has to say about itself; the others differ in numbers
  std::vector<std::unique_ptr<One>> shards_;
  bool maps_ = false;
  bool direct_ = false;
  std::mutex mutex_;
  std::list<Key> turns_;  ///< of the open files, the least recently used first
  std::map<Key, Open> open_;
};

}  // namespace atelier::data
