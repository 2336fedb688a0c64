#include "data/shard_check.h"

#include <algorithm>

#include "data/raw_file.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

std::vector<std::uint64_t> read_numbers(const RawFile& file, std::uint64_t offset,
                                        std::uint64_t count) {
  std::vector<std::uint64_t> out(count);
  file.read_at(offset, std::as_writable_bytes(std::span(out)));
  return out;
}

std::string list_ids(std::span<const std::uint64_t> ids) {
  constexpr std::size_t kShown = 4;
  std::vector<std::string> shown;
  for (std::size_t i = 0; i < std::min(ids.size(), kShown); ++i) shown.push_back(text(ids[i]));
  const std::string rest = ids.size() > kShown ? text(" and ", ids.size() - kShown, " more") : "";
  return join(shown) + rest;
}

/// Of the rows of one block, from where the block before ends.
std::vector<std::uint64_t> relative(std::span<const std::uint64_t> ends, std::uint64_t begin) {
  std::vector<std::uint64_t> out(ends.begin(), ends.end());
  for (std::uint64_t& end : out) end -= begin;
  return out;
}

class ShardCheck {
 public:
  ShardCheck(const Path& path, const Manifest& manifest, const ShardEntry& entry,
             const SeeBlock& see)
      : path_(path),
        manifest_(manifest),
        entry_(entry),
        see_(see),
        file_(path, RawFile::Mode::kRead),
        ids_(read_numbers(file_, entry.places.at(kIds).offset, entry.num_samples)) {}

  /// Where images end; looked at before they are.
  void ends() {
    const std::size_t last = manifest_.tables.size() - 1;
    table(last);
    if (skips_images_ = !damage_.findings.empty(); skips_images_) {
      damage_.findings.back() += " Its images could not be looked at.";
      return;
    }
    ends_ = read_numbers(file_, entry_.places.at(last).offset, entry_.num_samples);
    if (is_possible(ends_)) return;
    damage_.findings.push_back(text("The images in '", path_.string(),
                                    "' do not follow one another up to byte ", entry_.image_bytes,
                                    " of /images: /ends is damaged. They could not be looked at."));
    skips_images_ = true;
  }

  void table(std::size_t index) {
    if (index == kImages && skips_images_) return;
    const Table& table = manifest_.tables[index];
    const auto hashes =
        read_numbers(file_, entry_.places.at(index).hash_offset, table.blocks(entry_.num_samples));
    for (std::uint64_t b = 0; b < hashes.size(); ++b) block(index, b, hashes[b]);
  }

  ShardDamage whole_file() {
    Hasher whole;
    constexpr std::uint64_t kPiece = 1U << 20U;
    damage_.bytes = file_.size();
    for (std::uint64_t at = 0; at < damage_.bytes; at += kPiece) {
      buffer_.resize(std::min(kPiece, damage_.bytes - at));
      file_.read_at(at, buffer_);
      whole.update(buffer_);
    }
    damage_.file_hash = to_hex(whole.value());
    return std::move(damage_);
  }

 private:
  [[nodiscard]] bool is_possible(const std::vector<std::uint64_t>& ends) const {
    std::uint64_t begin = 0;
    for (const std::uint64_t end : ends) {
      if (end <= begin || end - begin > kMaxStoredImage) return false;
      begin = end;
    }
    return begin == entry_.image_bytes;
  }

  void block(std::size_t index, std::uint64_t number, std::uint64_t expected) {
    const Table& table = manifest_.tables[index];
    const TablePlace& place = entry_.places.at(index);
    BlockPlace block = block_at(table, place, entry_.num_samples, number);
    std::vector<std::uint64_t> ends;
    if (index == kImages && manifest_.packing.varies()) {
      const std::uint64_t begin = block.first_row == 0 ? 0 : ends_[block.first_row - 1];
      ends = relative(std::span(ends_).subspan(block.first_row, block.rows), begin);
      block = between(block, place, begin, begin + ends.back());
      if (block.bytes > kMaxStoredBlock) {
        damage_.findings.push_back(text("Block ", number, " of /images in '", path_.string(),
                                        "' has ", block.bytes, " bytes, which is too large."));
        return;
      }
    }
    buffer_.resize(block.bytes);
    file_.read_at(block.offset, buffer_);
    const std::uint64_t found = xxh3_64(buffer_);
    ++damage_.blocks;
    if (found != expected) {
      damage_.findings.push_back(damage_text(path_, table, block, ids_, {expected, found}));
    } else if (see_) {
      see_({.table = index, .bytes = buffer_, .ends = ends});
    }
  }

  const Path& path_;
  const Manifest& manifest_;
  const ShardEntry& entry_;
  const SeeBlock& see_;
  RawFile file_;
  std::vector<std::uint64_t> ids_;
  std::vector<std::uint64_t> ends_;  // of each image, where their bytes vary
  bool skips_images_ = false;
  std::vector<std::byte> buffer_;
  ShardDamage damage_;
};

}  // namespace

BlockPlace block_at(const Table& table, const TablePlace& place, std::uint64_t rows,
                    std::uint64_t block) {
  const std::uint64_t first = block * table.block_rows();
  const std::uint64_t count = std::min(table.block_rows(), rows - first);
  return {block, first, count, place.offset + first * table.row_bytes(), count * table.row_bytes()};
}

BlockPlace between(BlockPlace block, const TablePlace& place, std::uint64_t begin,
                   std::uint64_t end) {
  block.offset = place.offset + begin;
  block.bytes = end - begin;
  return block;
}

std::string damage_text(const Path& file, const Table& table, const BlockPlace& block,
                        std::span<const std::uint64_t> ids,
                        std::pair<std::uint64_t, std::uint64_t> expected_and_found) {
  return text("Block ", block.index, " of /", table.name, " in '", file.string(), "' (bytes ",
              block.offset, " to ", block.offset + block.bytes - 1, ", sample ids ",
              list_ids(ids.subspan(block.first_row, block.rows)), ") is damaged: expected hash ",
              to_hex(expected_and_found.first), ", found ", to_hex(expected_and_found.second), ".");
}

ShardDamage check_shard_bytes(const Path& path, const Manifest& manifest, const ShardEntry& entry,
                              const SeeBlock& see) {
  ShardCheck check(path, manifest, entry, see);
  const bool varies = manifest.packing.varies();
  if (varies) check.ends();
  for (std::size_t table = 0; table + (varies ? 1 : 0) < manifest.tables.size(); ++table)
    check.table(table);
  return check.whole_file();
}

void ContentHashes::add(const WholeBlock& block) {
  Hasher& hasher = hashers_.at(block.table);
  const Packing& packing = manifest_->packing;
  if (block.table != kImages || packing.storage != Storage::kDeflate) {
    hasher.update(block.bytes);
  } else {
    const auto pixels = unpack_all(packing, manifest_->shape, block.bytes, block.ends);
    hasher.update(std::as_bytes(std::span(pixels)));
  }
}

std::string ContentHashes::hash(std::size_t table) const {
  return to_hex(hashers_.at(table).value());
}

}  // namespace atelier::data
