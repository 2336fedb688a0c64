#include "data/block_cache.h"

#include <algorithm>
#include <utility>

#include <pthread.h>

#include "data/large_memory.h"
#include "data/raw_file.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

// A disk of our days gives all it has when it is asked for many things at once (measured: with 4 an
// eighth less, with 12 no more).
constexpr int kThreads = 8;

std::uint64_t rounded_up(std::uint64_t bytes) {
  constexpr std::uint64_t kUnit = RawFile::kDirectUnit;
  return (bytes + kUnit - 1) / kUnit * kUnit;
}

// From the unit it begins in to the one it ends in.
std::size_t room_for(const BlockCache::Place& place) {
  return rounded_up(place.offset % RawFile::kDirectUnit + place.bytes);
}

}  // namespace

// Parts of large pieces of memory, used again and again: the system takes long to find new ones.
class BlockCache::Buffers {
 public:
  explicit Buffers(std::size_t usual_bytes) : bytes_(usual_bytes) {}

  std::shared_ptr<std::byte> take(std::size_t bytes) {
    if (bytes > bytes_) return large_memory(bytes);
    const std::scoped_lock lock(mutex_);
    if (free_.empty()) {
      const std::size_t parts = std::max<std::size_t>(1, kPiece / bytes_);
      const std::shared_ptr<std::byte> piece = large_memory(parts * bytes_);
      for (std::size_t i = 0; i < parts; ++i) free_.emplace_back(piece, piece.get() + i * bytes_);
    }
    std::shared_ptr<std::byte> last = std::move(free_.back());
    free_.pop_back();
    return last;
  }
  void give_back(std::shared_ptr<std::byte> buffer, std::size_t bytes) {
    if (bytes > bytes_) return;
    const std::scoped_lock lock(mutex_);
    free_.push_back(std::move(buffer));
  }

 private:
  static constexpr std::size_t kPiece = std::size_t{32} << 20U;
  const std::size_t bytes_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<std::byte>> free_;
};

BlockCache::Block::Block(std::shared_ptr<Buffers> buffers, const Place& place)
    : buffers_(std::move(buffers)), place_(place) {}

BlockCache::Block::~Block() {
  if (buffer_ != nullptr) buffers_->give_back(std::move(buffer_), room_for(place_));
}

std::span<const std::byte> BlockCache::Block::bytes() const {
  has_come_.wait(false, std::memory_order_acquire);
  if (error_) std::rethrow_exception(error_);
  return bytes_;
}

BlockCache::BlockCache(ShardFiles& files, std::uint64_t blocks, std::uint64_t usual_bytes)
    : files_(files),
      buffers_(std::make_shared<Buffers>(rounded_up(usual_bytes) + RawFile::kDirectUnit)),
      blocks_(blocks) {
  for (int i = 0; i < kThreads; ++i) {
    threads_.emplace_back([this](const std::stop_token& stop) { fetch_all(stop); });
    ::pthread_setname_np(threads_.back().native_handle(), "atelier-fetch");
  }
}

BlockCache::~BlockCache() {
  for (std::jthread& thread : threads_) thread.request_stop();
}

BlockCache::Wanted BlockCache::find(std::uint64_t number) {
  const std::scoped_lock lock(mutex_);
  return blocks_.at(number).lock();
}

BlockCache::Wanted BlockCache::want(std::uint64_t number, const Place& place) {
  const auto block = std::make_shared<Block>(buffers_, place);
  {
    const std::scoped_lock lock(mutex_);
    std::weak_ptr<const Block>& known = blocks_.at(number);
    if (Wanted wanted = known.lock()) return wanted;
    known = block;
    queue_.push_back(block);
  }
  some_.notify_one();
  return block;
}

void BlockCache::fetch_all(const std::stop_token& stop) {
  while (true) {
    std::shared_ptr<Block> block;
    {
      std::unique_lock lock(mutex_);
      if (!some_.wait(lock, stop, [&] { return !queue_.empty(); })) return;
      if (stop.stop_requested()) return;
      block = queue_.front().lock();
      queue_.pop_front();
    }
    if (!block) continue;  // nobody wants it any more
    try {
      fetch(*block);
    } catch (...) {
      block->error_ = std::current_exception();
    }
    block->has_come_.store(true, std::memory_order_release);
    block->has_come_.notify_all();
  }
}

void BlockCache::fetch(Block& block) {
  const auto& [shard, offset, bytes] = block.place_;
  const std::uint64_t before = offset % RawFile::kDirectUnit;
  const std::uint64_t whole = room_for(block.place_);
  block.buffer_ = buffers_->take(whole);
  const std::span<std::byte> room(block.buffer_.get(), whole);
  if (files_.read_direct(shard, offset - before, room) < before + bytes) {
    throw DataError(
        text("'", files_.path(shard).string(), "' ends before byte ", offset + bytes, "."),
        "It was truncated; restore it or make the dataset again.");
  }
  block.bytes_ = room.subspan(before, bytes);
}

}  // namespace atelier::data
