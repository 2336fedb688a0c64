// Blocks of images in memory of our own, read whole and past the system's cache: a disk gives more
// that way than through it, and the system need not keep a part of what is larger than memory.
// A block stays as long as somebody wants it. Thread safety: all calls.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "data/shard_files.h"

namespace atelier::data {

class BlockCache {
 public:
  /// Bytes of a shard.
  struct Place {
    std::size_t shard = 0;
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
  };
  class Block;
  using Wanted = std::shared_ptr<const Block>;

  /// For so many blocks, of `usual_bytes` at most but for a few. Lifetime: `files` outlives it;
  /// blocks may outlive it.
  BlockCache(ShardFiles& files, std::uint64_t blocks, std::uint64_t usual_bytes);
  ~BlockCache();
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;

  /// The block of that number, if anybody wants it already; else nothing.
  [[nodiscard]] Wanted find(std::uint64_t number);
  /// The same; if nobody does, begins to read it. Returns at once.
  [[nodiscard]] Wanted want(std::uint64_t number, const Place& place);

 private:
  class Buffers;
  void fetch_all(const std::stop_token& stop);
  void fetch(Block& block);

  ShardFiles& files_;
  std::shared_ptr<Buffers> buffers_;
  std::mutex mutex_;
  std::condition_variable_any some_;
  std::vector<std::weak_ptr<const Block>> blocks_;  ///< by number; guarded by mutex_
  std::deque<std::weak_ptr<Block>> queue_;          ///< to be read; likewise
  std::vector<std::jthread> threads_;               ///< last: stop before anything they use goes
};

class BlockCache::Block {
 public:
  Block(std::shared_ptr<Buffers> buffers, const Place& place);
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  [[nodiscard]] const Place& place() const { return place_; }
  /// Waits until they have come. Throws: IoError; DataError where the file ends before.
  [[nodiscard]] std::span<const std::byte> bytes() const;

 private:
  friend class BlockCache;
  std::shared_ptr<Buffers> buffers_;
  Place place_;
  std::shared_ptr<std::byte> buffer_;  ///< this and the next two are set when it has come
  std::span<const std::byte> bytes_;
  std::exception_ptr error_;
  std::atomic<bool> has_come_{false};
};

}  // namespace atelier::data
