// The bytes of a split's shards, by shard and offset. Files of a local disk that fit into memory
// are mapped; others are read, few of them open at a time. A shard is compared with its manifest
// when it is first touched. Thread safety: all calls.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "data/dataset.h"
#include "data/layout.h"
#include "data/raw_file.h"
#include "data/shard_layout.h"

namespace atelier::data {

enum class Access : std::uint8_t {
  kAuto,  ///< mapped where the split is on a local disk and takes at most half of the memory
  kMap,
  kRead,
};

class ShardFiles {
 public:
  static constexpr std::size_t kMostOpen = 256;  ///< files, where they are not mapped

  /// Lifetime: keeps nothing of `dataset`.
  ShardFiles(const Dataset& dataset, Split split, Access access);
  ~ShardFiles();
  ShardFiles(const ShardFiles&) = delete;
  ShardFiles& operator=(const ShardFiles&) = delete;

  [[nodiscard]] std::size_t count() const { return shards_.size(); }
  [[nodiscard]] const ShardEntry& entry(std::size_t shard) const { return shards_[shard]->entry; }
  [[nodiscard]] Path path(std::size_t shard) const { return folder_ / entry(shard).file; }
  [[nodiscard]] bool maps() const { return maps_; }

  /// The whole file; to be read by guarded work only (guarded.h). Requires: maps(). Throws:
  /// IoError, DataError when it is not what the manifest says.
  [[nodiscard]] const std::byte* mapped(std::size_t shard);
  /// Throws: as mapped().
  void read(std::size_t shard, std::uint64_t offset, std::span<std::byte> out);
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
  struct Open {
    std::shared_ptr<RawFile> file;
    std::list<std::size_t>::iterator turn;
  };
  [[nodiscard]] std::shared_ptr<RawFile> open(std::size_t shard);
  [[nodiscard]] RawFile open_anew(std::size_t shard);

  Path folder_;
  ShardLayout
      layout_;  ///< what the first shard has to say about itself; the others differ in numbers
  std::vector<std::unique_ptr<One>> shards_;
  bool maps_;
  std::mutex mutex_;
  std::list<std::size_t> turns_;  ///< of the open files, the least recently used first
  std::unordered_map<std::size_t, Open> open_;
};

}  // namespace atelier::data
