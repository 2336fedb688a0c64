// Random access to the samples of one split by index, as bytes of the shards: a block is checked
// against its hash when first touched. Nothing here grows with the dataset but a byte a block.
// Thread safety: all calls.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/block_cache.h"
#include "data/dataset.h"
#include "data/layout.h"
#include "data/packing.h"
#include "data/shard_check.h"
#include "data/shard_files.h"

namespace atelier::data {

/// When blocks are compared with their hashes.
enum class Check : std::uint8_t {
  kOff,
  kOnce,    ///< when they are first touched
  kAlways,  ///< whenever a sample of theirs is read
};

struct ReaderOptions {
  Access access = Access::kAuto;
  bool in_blocks = false;  ///< neighbours are used up together: of chosen_access()
  Check check = Check::kOnce;
};

class Reader {
 public:
  /// Lifetime: keeps nothing of `dataset`.
  Reader(const Dataset& dataset, Split split, const ReaderOptions& options = {});

  /// Copies the images at `indices`, unpacked. Shapes: out [indices.size(), H, W, C]. Returns the
  /// processor time of unpacking. Units: seconds. Throws: DataError naming shard, block, bytes and
  /// sample ids of a damaged block, or a shard that is not what the manifest says; IoError.
  double read(std::span<const std::uint64_t> indices, std::span<std::uint8_t> out_NHWC);
  /// An image as it is stored. Requires: the dataset's packing varies. Throws: as read().
  [[nodiscard]] std::vector<std::byte> stored(std::uint64_t index);
  /// Labels and ids of the samples at `indices`. Shapes: out [indices.size()]. Throws: as read();
  /// DataError for a label that no class has.
  void labels(std::span<const std::uint64_t> indices, std::span<std::int64_t> out);
  void ids(std::span<const std::uint64_t> indices, std::span<std::uint64_t> out);
  [[nodiscard]] std::int64_t label(std::uint64_t index);
  [[nodiscard]] std::uint64_t id(std::uint64_t index);
  /// Rows of any other table, e.g. "factors". Checked against its hashes on each call.
  /// Shapes: out [size(), row_bytes]. Throws: DataError when there is no such table.
  [[nodiscard]] std::vector<std::byte> table(const std::string& name);
  /// What is wrong with the block that holds the image at `index`; empty where nothing is, or
  /// nobody checks. Throws: IoError.
  [[nodiscard]] std::optional<std::string> damage_of(std::uint64_t index);
  /// The first sample from `index` on, round the split, whose block is good. Throws: DataError when
  /// there is none; IoError.
  [[nodiscard]] std::uint64_t good_from(std::uint64_t index);
  /// What will be read soon.
  struct Coming {
    std::uint64_t bytes = 0;       ///< that are to be read; 0 where they are there already
    BlockCache::Wanted kept = {};  ///< where reads are direct: there as long as this lives
  };
  /// Has the block of that image brought into memory; returns at once.
  [[nodiscard]] Coming will_need(std::uint64_t index);

  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] const ImageShape& shape() const { return shape_; }
  /// Blocks of images of all shards, and the one that the image at `index` lies in.
  [[nodiscard]] std::uint64_t blocks() const { return blocks_; }
  [[nodiscard]] std::uint64_t block_of(std::uint64_t index) const;
  [[nodiscard]] std::uint64_t block_rows() const { return tables_[kImages].block_rows(); }
  /// Whether blocks are read past the system's cache, and kept while will_need() wants them.
  [[nodiscard]] bool is_direct() const { return cache_ != nullptr; }

  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_.load(); }
  /// Of images.
  [[nodiscard]] std::uint64_t blocks_verified() const { return blocks_verified_.load(); }

 private:
  /// Tables whose blocks are checked when touched: the required ones, and ends.
  static constexpr std::size_t kChecked = 4;
  /// A sample: row of a shard.
  struct Place {
    std::size_t shard;
    std::uint64_t row;
  };
  enum class Found : std::uint8_t { kNothing, kGood, kDamaged };
  struct ShardState {
    std::uint64_t first_block = 0;                                ///< of images, within the split
    std::array<std::vector<std::atomic<Found>>, kChecked> found;  ///< by table, then block
  };
  /// Bytes of /images.
  struct Extent {
    std::uint64_t begin;
    std::uint64_t end;
  };
  [[nodiscard]] Place place_of(std::uint64_t index) const;
  [[nodiscard]] std::uint64_t offset_of(std::size_t table, Place place) const;
  [[nodiscard]] std::size_t ends_table_index() const { return tables_.size() - 1; }
  [[nodiscard]] std::uint64_t block_number(Place place) const;
  [[nodiscard]] std::atomic<Found>& found_of(std::size_t shard, std::size_t table,
                                             std::uint64_t block);
  /// Where `rows` images from `place` on lie. Requires: their bytes vary. Throws: DataError.
  [[nodiscard]] Extent extent_of(Place place, std::uint64_t rows);
  /// The same; returns what is wrong with /ends there.
  [[nodiscard]] std::optional<std::string> find_extent(Place place, std::uint64_t rows,
                                                       Extent& extent);
  /// Likewise the block of `place`.
  [[nodiscard]] std::optional<std::string> find_block(std::size_t table, Place place,
                                                      BlockPlace& block);
  /// Adds them behind `out`.
  void read_stored(Place place, std::vector<std::byte>& out);
  double unpack_rows(std::span<const std::uint64_t> indices, std::span<std::uint8_t> out);
  void unpack_row(std::uint64_t index, std::span<const std::byte> stored,
                  std::span<std::uint8_t> out);
  /// Throws: DataError when the block of `place` is damaged.
  void require_good(std::size_t table, Place place);
  /// What is wrong with that block, if anybody checks and it is not known to be good.
  [[nodiscard]] std::optional<std::string> problem_at(std::size_t table, Place place);
  [[nodiscard]] std::optional<std::string> find_damage(std::size_t table, Place place);
  /// What to say of a block whose hash is not the one that is written; empty where it is.
  [[nodiscard]] std::optional<std::string> compare(std::size_t shard, std::size_t table,
                                                   const BlockPlace& block, std::uint64_t hash);
  [[nodiscard]] std::uint64_t hash_of(std::size_t shard, std::uint64_t offset, std::uint64_t bytes);
  /// Requires: is_direct(). Throws: DataError where /ends is damaged.
  [[nodiscard]] BlockCache::Wanted cached_block(Place place);
  /// Rows of one of the checked tables, one after the other.
  void copy_rows(std::size_t table, std::span<const std::uint64_t> indices, std::byte* out);
  void copy_mapped(std::size_t table, std::span<const std::uint64_t> indices, std::byte* out);
  void copy_cached(std::span<const std::uint64_t> indices, std::byte* out);

  ImageShape shape_;
  Packing packing_;
  std::vector<Table> tables_;
  std::uint64_t classes_;
  ShardFiles files_;
  Check check_;
  std::vector<std::uint64_t> firsts_;  ///< by shard: index of its first sample within the split
  std::vector<std::unique_ptr<ShardState>> shards_;
  std::uint64_t size_ = 0;
  std::uint64_t blocks_ = 0;
  std::unique_ptr<BlockCache> cache_;  ///< of images, where they are read directly
  std::mutex mutex_;
  std::map<std::uint64_t, std::string> damage_;  ///< by block of images; guarded by it
  std::atomic<std::uint64_t> bytes_read_{0};
  std::atomic<std::uint64_t> blocks_verified_{0};
};

}  // namespace atelier::data
