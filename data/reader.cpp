#include "data/reader.h"

#include <algorithm>
#include <cstring>

#include "data/shard_check.h"
#include "data/shard_layout.h"
#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::string_view kRestore =
    "Restore it from a copy, or make or import the dataset again.";

std::vector<std::uint64_t> read_numbers(const RawFile& file, std::uint64_t offset,
                                        std::uint64_t count) {
  std::vector<std::uint64_t> out(count);
  file.read_at(offset, std::as_writable_bytes(std::span(out)));
  return out;
}

}  // namespace

Reader::Reader(const Dataset& dataset, Split split)
    : shape_(dataset.shape()), tables_(dataset.manifest().tables) {
  for (const ShardEntry& entry : dataset.manifest().shards)
    if (entry.split == split) open_shard(dataset, entry);
}

void Reader::open_shard(const Dataset& dataset, const ShardEntry& entry) {
  const Path path = dataset.folder() / entry.file;
  if (inspect_shard(path, layout_of(dataset.manifest(), entry)) != entry.places) {
    throw DataError(text("The shard '", path.string(),
                         "' keeps its tables at other offsets than the manifest says."),
                    kRestore);
  }
  OpenShard shard{RawFile(path, RawFile::Mode::kRead), entry, size(), {}, {}};
  const std::uint64_t blocks = tables_[kImages].blocks(entry.num_samples);
  shard.block_hashes = read_numbers(shard.file, entry.places[kImages].hash_offset, blocks);
  shard.verified.assign(blocks, false);
  const auto append = [&](auto& column, std::size_t table) {
    const std::vector<std::byte> bytes = read_table(shard, table);
    const std::size_t before = column.size();
    column.resize(before + entry.num_samples);
    std::memcpy(&column[before], bytes.data(), bytes.size());
  };
  append(ids_, kIds);
  append(labels_, kLabels);
  const auto classes = static_cast<std::int64_t>(dataset.class_names().size());
  for (std::uint64_t i = shard.first; i < size(); ++i) {
    if (labels_[i] < 0 || labels_[i] >= classes) {
      throw DataError(text("Sample id ", ids_[i], " in '", path.string(), "' has label ",
                           labels_[i], ", but there are ", classes, " classes."),
                      kRestore);
    }
  }
  shards_.push_back(std::move(shard));
}

std::vector<std::byte> Reader::read_table(const OpenShard& shard, std::size_t table) const {
  const Table& what = tables_.at(table);
  const TablePlace& place = shard.entry.places.at(table);
  const std::uint64_t rows = shard.entry.num_samples;
  std::vector<std::byte> out(rows * what.row_bytes());
  shard.file.read_at(place.offset, out);
  const auto hashes = read_numbers(shard.file, place.hash_offset, what.blocks(rows));
  for (std::uint64_t b = 0; b < hashes.size(); ++b) {
    const BlockPlace block = block_at(what, place, rows, b);
    const std::uint64_t found =
        xxh3_64(std::span<const std::byte>(out).subspan(block.offset - place.offset, block.bytes));
    if (found == hashes[b]) continue;
    const auto ids = read_numbers(shard.file, shard.entry.places[kIds].offset, rows);
    throw DataError(damage_text(shard.file.path(), what, block, ids, {hashes[b], found}), kRestore);
  }
  return out;
}

std::vector<std::byte> Reader::table(const std::string& name) const {
  const auto found = std::find_if(tables_.begin(), tables_.end(),
                                  [&](const Table& table) { return table.name == name; });
  if (found == tables_.end()) throw DataError(text("The dataset has no table '", name, "'."));
  std::vector<std::byte> out;
  for (const OpenShard& shard : shards_) {
    const auto rows = read_table(shard, static_cast<std::size_t>(found - tables_.begin()));
    out.insert(out.end(), rows.begin(), rows.end());
  }
  return out;
}

void Reader::verify_block(OpenShard& shard, std::uint64_t index) {
  const std::uint64_t rows = shard.entry.num_samples;
  const BlockPlace block = block_at(tables_[kImages], shard.entry.places[kImages], rows, index);
  block_buffer_.resize(block.bytes);
  shard.file.read_at(block.offset, block_buffer_);
  bytes_read_ += block.bytes;
  const std::uint64_t found = xxh3_64(block_buffer_);
  if (found != shard.block_hashes[index]) {
    const auto ids = std::span<const std::uint64_t>(ids_).subspan(shard.first, rows);
    throw DataError(damage_text(shard.file.path(), tables_[kImages], block, ids,
                                {shard.block_hashes[index], found}),
                    kRestore);
  }
  shard.verified[index] = true;
  ++blocks_verified_;
}

void Reader::read_one(std::uint64_t index, std::span<std::byte> out) {
  const auto behind = std::upper_bound(
      shards_.begin(), shards_.end(), index,
      [](std::uint64_t wanted, const OpenShard& shard) { return wanted < shard.first; });
  OpenShard& shard = *std::prev(behind);
  const std::uint64_t row = index - shard.first;
  const std::uint64_t block = row / tables_[kImages].block_rows();
  if (!shard.verified[block]) verify_block(shard, block);
  shard.file.read_at(shard.entry.places[kImages].offset + row * out.size(), out);
  bytes_read_ += out.size();
}

void Reader::read(std::span<const std::uint64_t> indices, std::span<std::uint8_t> out_NHWC) {
  const std::size_t bytes = shape_.bytes();
  ATELIER_CHECK(out_NHWC.size() == indices.size() * bytes,
                text("room for ", out_NHWC.size(), " bytes, ", indices.size(), " images"));
  const std::span<std::byte> out = std::as_writable_bytes(out_NHWC);
  for (std::size_t i = 0; i < indices.size(); ++i) {
    ATELIER_CHECK(indices[i] < size(), text("index ", indices[i], " of ", size()));
    read_one(indices[i], out.subspan(i * bytes, bytes));
  }
}

}  // namespace atelier::data
