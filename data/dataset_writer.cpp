#include "data/dataset_writer.h"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <memory>
#include <utility>

#include <unistd.h>

#include "data/pixel_sums.h"
#include "data/shard_layout.h"
#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

std::string utc(double unix_seconds) {
  const auto whole = static_cast<std::time_t>(unix_seconds);
  std::tm parts{};
  gmtime_r(&whole, &parts);
  std::array<char, 32> out{};
  std::strftime(out.data(), out.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return out.data();
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

// What HDF5 says of sizes need not be so.
void require_room_for_images(const Path& path, const ShardEntry& entry) {
  const std::uint64_t offset = entry.places.at(kImages).offset;
  if (offset <= entry.bytes && entry.image_bytes <= entry.bytes - offset) return;
  throw DataError(text("The shard '", path.string(), "' has ", entry.bytes, " bytes, but its ",
                       entry.image_bytes, " bytes of images begin at ", offset, "."),
                  "Restore it from a copy, or make or import the dataset again.");
}

}  // namespace

DatasetWriter::DatasetWriter(FileSystem& files, Path folder, DatasetPlan plan,
                             const std::vector<std::uint64_t>& rows)
    : files_(files), folder_(std::move(folder)), plan_(std::move(plan)), content_(manifest_) {
  if (plan_.samples.at(index_of(Split::kTrain)) == 0) {
    throw DataError(
        text("Cannot make the dataset '", folder_.string(), "' without training images."),
        "The source holds none that could be read.");
  }
  const auto side = [](int n) { return n >= 1 && n <= kMaxImageSide; };
  if (!side(plan_.shape.height) || !side(plan_.shape.width) ||
      (plan_.shape.channels != 1 && plan_.shape.channels != 3)) {
    throw DataError(text("Cannot make a dataset of ", plan_.shape.name(), " images."),
                    "Sides of 1 to 16384 pixels and 1 or 3 channels are possible.");
  }
  manifest_.shape = plan_.shape;
  manifest_.class_names = plan_.class_names;
  manifest_.factor_names = plan_.factor_names;
  manifest_.tables = required_tables(plan_.shape);
  manifest_.tables.insert(manifest_.tables.end(), plan_.extra_tables.begin(),
                          plan_.extra_tables.end());
  if (plan_.packing.varies()) manifest_.tables.push_back(ends_table());
  manifest_.packing = plan_.packing;
  Table& images = manifest_.tables[kImages];
  if (plan_.image_bytes > images.row_bytes())
    images.fewer_rows = rows_within_block(plan_.image_bytes);
  if (plan_.block_rows > 0) images.fewer_rows = plan_.block_rows;
  manifest_.pixel_sums.assign(static_cast<std::size_t>(plan_.shape.channels), 0);
  manifest_.pixel_square_sums = manifest_.pixel_sums;
  manifest_.valid_from_train = plan_.valid_from_train;
  manifest_.source = plan_.source;
  manifest_.creator = plan_.creator;
  for (const Split split : kSplits) {
    SplitEntry& entry = manifest_.splits.at(index_of(split));
    entry.num_samples = plan_.samples.at(index_of(split));
    entry.class_counts.assign(plan_.class_names.size(), 0);
    if (rows.empty()) cut(split);
  }
  if (!rows.empty()) take_over(rows);
}

void DatasetWriter::take_over(const std::vector<std::uint64_t>& rows) {
  std::size_t next = 0;
  for (const Split split : kSplits) {
    const std::size_t begin = parts_.size();
    for (std::uint64_t first = 0; first < plan_.samples.at(index_of(split)); ++next) {
      parts_.push_back({.split = split,
                        .index = parts_.size() - begin,
                        .count = 0,
                        .first = first,
                        .rows = rows.at(next)});
      first += rows.at(next);
    }
    for (std::size_t i = begin; i < parts_.size(); ++i) parts_[i].count = parts_.size() - begin;
  }
}

void DatasetWriter::cut(Split split) {
  const std::uint64_t samples = plan_.samples.at(index_of(split));
  std::uint64_t row_bytes = 0;
  for (const Table& table : manifest_.tables) {
    const bool known = table.name == manifest_.tables[kImages].name && plan_.image_bytes > 0;
    row_bytes += known ? plan_.image_bytes : table.row_bytes();
  }
  const std::uint64_t room = std::max<std::uint64_t>(1, plan_.shard_bytes / row_bytes);
  // Whole blocks in each, where a shard has room for one: then they are blocks of the split too.
  const std::uint64_t block = manifest_.tables[kImages].block_rows();
  const std::uint64_t unit = room < block ? 1 : block;
  const std::uint64_t units = (samples + unit - 1) / unit;
  const std::uint64_t shards = (units + room / unit - 1) / (room / unit);
  const auto begin = [&](std::uint64_t shard) {
    return std::min(samples, units * shard / shards * unit);
  };
  for (std::uint64_t shard = 0; shard < shards; ++shard) {
    parts_.push_back({.split = split,
                      .index = shard,
                      .count = shards,
                      .first = begin(shard),
                      .rows = begin(shard + 1) - begin(shard)});
  }
}

ShardEntry DatasetWriter::entry_of(const Part& part) const {
  return {.file = shard_file_name(part.split, part.index, part.count),
          .split = part.split,
          .shard_index = part.index,
          .num_samples = part.rows,
          .bytes = 0,
          .hash = {},
          .places = {}};
}

void DatasetWriter::write(std::size_t shard, const FillRows& fill) {
  const Part& part = parts_.at(shard);
  const ShardEntry entry = entry_of(part);
  if (files_.exists(folder_ / entry.file)) return;
  ShardLayout layout = layout_of(manifest_, entry);
  layout.num_shards = part.count;
  const Path temporary = folder_ / text(".tmp-", entry.file);
  write_shard(files_, temporary, layout, part.first, fill);
  files_.sync(temporary);
  files_.rename(temporary, folder_ / entry.file);
}

// What reached the file must be what was meant: layout, every block, and the whole-file hash.
void DatasetWriter::seal(std::size_t shard) {
  const Part& part = parts_.at(shard);
  ShardEntry entry = entry_of(part);
  const Path path = folder_ / entry.file;
  ShardLayout layout = layout_of(manifest_, entry);
  layout.num_shards = part.count;
  if (plan_.packing.varies()) layout.image_bytes = read_layout(path).image_bytes;
  if (part.index == 0) content_ = ContentHashes(manifest_);
  entry.image_bytes = layout.image_bytes;
  entry.places = inspect_shard(path, layout);
  entry.bytes = files_.size(path);
  require_room_for_images(path, entry);
  PixelSums sums(plan_.packing, plan_.shape, plan_.threads);
  const auto see = [&](const WholeBlock& block) {
    content_.add(block);
    if (block.table == kLabels) count_labels(part.split, block.bytes);
    if (block.table == kImages && part.split == Split::kTrain) sums.add(block.bytes, block.ends);
  };
  ShardDamage damage;
  PixelTotals totals;
  try {
    damage = check_shard_bytes(path, manifest_, entry, see);
    totals = sums.finish();
  } catch (const DataError& error) {
    throw DataError(text("Cannot take the shard '", path.string(), "': ", error.what()));
  }
  if (!damage.findings.empty()) {
    throw IoError(text("The shard just written reads back damaged: ", damage.findings.front()),
                  "Check the disk.");
  }
  for (std::size_t c = 0; c < manifest_.pixel_sums.size(); ++c) {
    manifest_.pixel_sums[c] += totals.values.at(c);
    manifest_.pixel_square_sums[c] += totals.squares.at(c);
  }
  entry.hash = damage.file_hash;
  manifest_.shards.push_back(std::move(entry));
  if (part.index + 1 < part.count) return;
  for (std::size_t table = 0; table < manifest_.tables.size(); ++table)
    manifest_.splits.at(index_of(part.split)).table_hashes.push_back(content_.hash(table));
}

void DatasetWriter::count_labels(Split split, std::span<const std::byte> rows) {
  SplitEntry& entry = manifest_.splits.at(index_of(split));
  for (std::size_t at = 0; at < rows.size(); at += sizeof(std::int64_t)) {
    std::int64_t label = 0;
    std::memcpy(&label, &rows[at], sizeof(label));
    if (label < 0 || static_cast<std::uint64_t>(label) >= entry.class_counts.size()) {
      throw DataError(text("Cannot write a sample with label ", label, ": there are ",
                           entry.class_counts.size(), " classes."));
    }
    ++entry.class_counts[static_cast<std::size_t>(label)];
  }
}

Manifest DatasetWriter::finish(const Clock& clock) {
  ATELIER_CHECK(manifest_.shards.size() == parts_.size(), "every shard is sealed");
  // A split without samples has hashes all the same.
  for (SplitEntry& split : manifest_.splits) {
    while (split.table_hashes.size() < manifest_.tables.size())
      split.table_hashes.push_back(to_hex(Hasher().value()));
  }
  manifest_.created = utc(clock.unix_seconds());
  manifest_.host = host_name();
  write_atomically(files_, folder_ / kManifestName, to_json(manifest_));
  return std::move(manifest_);
}

Manifest write_dataset(FileSystem& files, const Clock& clock, const StagingFolder& staging,
                       const DatasetPlan& plan, const FillRows& fill) {
  DatasetWriter writer(files, staging.path(), plan);
  for (std::size_t shard = 0; shard < writer.shards(); ++shard) {
    writer.write(shard, fill);
    writer.seal(shard);
  }
  return writer.finish(clock);
}

}  // namespace atelier::data
