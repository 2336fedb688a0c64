#include "data/reader.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "data/cpu_time.h"
#include "data/gather.h"
#include "data/guarded.h"
#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::string_view kRestore =
    "Restore it from a copy, or make or import the dataset again.";
constexpr std::size_t kTogether = 64;  // samples that are found before they are copied

}  // namespace

Reader::Reader(const Dataset& dataset, Split split, const ReaderOptions& options)
    : shape_(dataset.shape()),
      packing_(dataset.manifest().packing),
      tables_(dataset.manifest().tables),
      classes_(dataset.class_names().size()),
      files_(dataset, split, options.access, options.in_blocks),
      check_(options.check) {
  for (std::size_t i = 0; i < files_.count(); ++i) {
    auto state = std::make_unique<ShardState>();
    state->first_block = blocks_;
    const std::uint64_t rows = files_.entry(i).num_samples;
    for (std::size_t table = 0; table <= kIds; ++table)
      state->found[table] = std::vector<std::atomic<Found>>(tables_[table].blocks(rows));
    if (packing_.varies())
      state->found.back() = std::vector<std::atomic<Found>>(tables_.back().blocks(rows));
    blocks_ += tables_[kImages].blocks(rows);
    firsts_.push_back(size_);
    shards_.push_back(std::move(state));
    size_ += rows;
  }
  if (files_.is_direct()) {
    const Table& images = tables_[kImages];
    cache_ =
        std::make_unique<BlockCache>(files_, blocks_, images.block_rows() * images.row_bytes());
  }
}

Reader::Place Reader::place_of(std::uint64_t index) const {
  ATELIER_CHECK(index < size_, text("index ", index, " of ", size_));
  const auto behind = std::upper_bound(firsts_.begin(), firsts_.end(), index);
  const auto shard = static_cast<std::size_t>(behind - firsts_.begin()) - 1;
  return {shard, index - firsts_[shard]};
}

std::uint64_t Reader::offset_of(std::size_t table, Place place) const {
  return files_.entry(place.shard).places[table].offset + place.row * tables_[table].row_bytes();
}

std::uint64_t Reader::hash_of(std::size_t shard, std::uint64_t offset, std::uint64_t bytes) {
  bytes_read_ += bytes;
  if (!files_.maps()) {
    std::vector<std::byte> block(bytes);
    files_.read(shard, offset, block);
    return xxh3_64(block);
  }
  const std::span<const std::byte> block(files_.mapped(shard) + offset, bytes);
  std::uint64_t hash = 0;
  auto look = [&] { hash = xxh3_64(block); };
  if (!without_bus_error(look)) files_.throw_lost({&shard, 1});
  return hash;
}

std::uint64_t Reader::block_of(std::uint64_t index) const { return block_number(place_of(index)); }

std::uint64_t Reader::block_number(Place place) const {
  return shards_[place.shard]->first_block + place.row / block_rows();
}

BlockCache::Wanted Reader::cached_block(Place place) {
  const std::uint64_t number = block_number(place);
  if (auto block = cache_->find(number)) return block;
  BlockPlace block;
  if (const auto problem = find_block(kImages, place, block)) throw DataError(*problem, kRestore);
  return cache_->want(number, {place.shard, block.offset, block.bytes});
}

std::optional<std::string> Reader::compare(std::size_t shard, std::size_t table,
                                           const BlockPlace& block, std::uint64_t hash) {
  const ShardEntry& entry = files_.entry(shard);
  std::uint64_t expected = 0;
  files_.read(shard, entry.places[table].hash_offset + block.index * sizeof(expected),
              std::as_writable_bytes(std::span(&expected, 1)));
  if (hash == expected) return std::nullopt;
  std::vector<std::uint64_t> ids(entry.num_samples);
  files_.read(shard, entry.places[kIds].offset, std::as_writable_bytes(std::span(ids)));
  return damage_text(files_.path(shard), tables_[table], block, ids, {expected, hash});
}

std::atomic<Reader::Found>& Reader::found_of(std::size_t shard, std::size_t table,
                                             std::uint64_t block) {
  return shards_[shard]->found[std::min(table, kChecked - 1)][block];
}

Reader::Extent Reader::extent_of(Place place, std::uint64_t rows) {
  Extent extent{};
  if (const auto problem = find_extent(place, rows, extent)) throw DataError(*problem, kRestore);
  return extent;
}

std::optional<std::string> Reader::find_extent(Place place, std::uint64_t rows, Extent& extent) {
  const std::size_t table = ends_table_index();
  const ShardEntry& entry = files_.entry(place.shard);
  const auto read_end = [&](std::uint64_t row, std::uint64_t& end) {
    const Place at{place.shard, row};
    files_.read(place.shard, offset_of(table, at), std::as_writable_bytes(std::span(&end, 1)));
    return problem_at(table, at);
  };
  extent.begin = 0;
  if (place.row > 0) {
    if (auto problem = read_end(place.row - 1, extent.begin)) return problem;
  }
  if (auto problem = read_end(place.row + rows - 1, extent.end)) return problem;
  const std::uint64_t most = rows == 1 ? kMaxStoredImage : kMaxStoredBlock;
  if (extent.begin < extent.end && extent.end <= entry.image_bytes &&
      extent.end - extent.begin <= most)
    return std::nullopt;
  return text("Row ", place.row, " of /images in '", files_.path(place.shard).string(),
              "' lies from byte ", extent.begin, " to ", extent.end, " of ", entry.image_bytes,
              ": /ends is damaged.");
}

std::optional<std::string> Reader::find_block(std::size_t table, Place place, BlockPlace& block) {
  const ShardEntry& entry = files_.entry(place.shard);
  block = block_at(tables_[table], entry.places[table], entry.num_samples,
                   place.row / tables_[table].block_rows());
  if (table != kImages || !packing_.varies()) return std::nullopt;
  Extent extent{};
  if (auto problem = find_extent({place.shard, block.first_row}, block.rows, extent))
    return problem;
  block = between(block, entry.places[table], extent.begin, extent.end);
  return std::nullopt;
}

std::optional<std::string> Reader::find_damage(std::size_t table, Place place) {
  BlockPlace block;
  if (auto problem = find_block(table, place, block)) {  // of /ends, and so of all images
    found_of(place.shard, table, block.index) = Found::kDamaged;
    return problem;
  }
  const bool cached = table == kImages && cache_ != nullptr;
  const std::uint64_t hash = cached ? xxh3_64(cached_block(place)->bytes())
                                    : hash_of(place.shard, block.offset, block.bytes);
  auto damage = compare(place.shard, table, block, hash);
  std::atomic<Found>& found = found_of(place.shard, table, block.index);
  if (damage) {
    found = Found::kDamaged;
  } else if (found.exchange(Found::kGood) != Found::kGood && table == kImages) {
    ++blocks_verified_;
  }
  return damage;
}

void Reader::require_good(std::size_t table, Place place) {
  if (const auto problem = problem_at(table, place)) throw DataError(*problem, kRestore);
}

std::optional<std::string> Reader::problem_at(std::size_t table, Place place) {
  if (check_ == Check::kOff) return std::nullopt;
  const std::uint64_t block = place.row / tables_[table].block_rows();
  const Found found = found_of(place.shard, table, block).load(std::memory_order_relaxed);
  if (found == Found::kGood && check_ == Check::kOnce) return std::nullopt;
  return find_damage(table, place);
}

std::optional<std::string> Reader::damage_of(std::uint64_t index) {
  if (check_ == Check::kOff) return std::nullopt;
  const Place place = place_of(index);
  const std::uint64_t number = block_of(index);
  if (check_ == Check::kOnce) {
    const std::uint64_t block = place.row / block_rows();
    const Found found = found_of(place.shard, kImages, block).load();
    if (found == Found::kGood) return std::nullopt;
    const std::scoped_lock lock(mutex_);
    if (const auto known = damage_.find(number); known != damage_.end()) return known->second;
  }
  auto damage = find_damage(kImages, place);
  if (damage) {
    const std::scoped_lock lock(mutex_);
    damage_.insert_or_assign(number, *damage);
  }
  return damage;
}

std::uint64_t Reader::good_from(std::uint64_t index) {
  for (std::uint64_t i = 0; i < size_;) {
    const std::uint64_t candidate = (index + i) % size_;
    if (!damage_of(candidate)) return candidate;
    // None of that block will do.
    const Place place = place_of(candidate);
    const std::uint64_t rows = files_.entry(place.shard).num_samples;
    i += std::min(block_rows() - place.row % block_rows(), rows - place.row);
  }
  throw DataError("No image of the split is good.", kRestore);
}

Reader::Coming Reader::will_need(std::uint64_t index) {
  const Place place = place_of(index);
  if (cache_ != nullptr) {
    if (auto kept = cache_->find(block_number(place))) return {.kept = std::move(kept)};
  }
  BlockPlace block;
  if (find_block(kImages, place, block)) return {};  // whoever reads it is told
  if (cache_ != nullptr) {
    return {.bytes = block.bytes,
            .kept = cache_->want(block_number(place), {place.shard, block.offset, block.bytes})};
  }
  files_.will_need(place.shard, block.offset, block.bytes);
  return {.bytes = block.bytes};
}

void Reader::copy_mapped(std::size_t table, std::span<const std::uint64_t> indices,
                         std::byte* out) {
  std::array<const std::byte*, kTogether> from{};
  std::array<std::size_t, kTogether> shards{};
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const Place place = place_of(indices[i]);
    require_good(table, place);
    from[i] = files_.mapped(place.shard) + offset_of(table, place);
    shards[i] = place.shard;
  }
  Gather gather{std::span(from).first(indices.size()), tables_[table].row_bytes(), out};
  if (!without_bus_error(gather)) files_.throw_lost(std::span(shards).first(indices.size()));
}

void Reader::copy_cached(std::span<const std::uint64_t> indices, std::byte* out) {
  std::array<const std::byte*, kTogether> from{};
  std::array<BlockCache::Wanted, kTogether> kept;
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const Place place = place_of(indices[i]);
    kept[i] = cached_block(place);
    require_good(kImages, place);
    from[i] = &kept[i]->bytes()[offset_of(kImages, place) - kept[i]->place().offset];
  }
  Gather{std::span(from).first(indices.size()), shape_.bytes(), out}();
}

void Reader::copy_rows(std::size_t table, std::span<const std::uint64_t> indices, std::byte* out) {
  const std::size_t bytes = tables_[table].row_bytes();
  for (std::size_t first = 0; first < indices.size(); first += kTogether) {
    const auto part = indices.subspan(first, std::min(kTogether, indices.size() - first));
    if (table == kImages && cache_ != nullptr) {
      copy_cached(part, out + first * bytes);
      continue;
    }
    if (files_.maps()) {
      copy_mapped(table, part, out + first * bytes);
      continue;
    }
    for (std::size_t i = 0; i < part.size(); ++i) {
      const Place place = place_of(part[i]);
      require_good(table, place);
      files_.read(place.shard, offset_of(table, place), {out + (first + i) * bytes, bytes});
    }
  }
  bytes_read_ += indices.size() * bytes;
}

double Reader::read(std::span<const std::uint64_t> indices, std::span<std::uint8_t> out_NHWC) {
  ATELIER_CHECK(out_NHWC.size() == indices.size() * shape_.bytes(),
                text("room for ", out_NHWC.size(), " bytes, ", indices.size(), " images"));
  if (packing_.varies()) return unpack_rows(indices, out_NHWC);
  copy_rows(kImages, indices, std::as_writable_bytes(out_NHWC).data());
  return 0;
}

void Reader::read_stored(Place place, std::vector<std::byte>& out) {
  require_good(kImages, place);
  const Extent extent = extent_of(place, 1);
  const std::uint64_t offset = files_.entry(place.shard).places[kImages].offset + extent.begin;
  const std::uint64_t bytes = extent.end - extent.begin;
  out.resize(out.size() + bytes);
  const auto room = std::span(out).last(bytes);
  if (cache_ != nullptr) {
    const BlockCache::Wanted block = cached_block(place);
    std::memcpy(room.data(), &block->bytes()[offset - block->place().offset], bytes);
  } else {
    files_.read(place.shard, offset, room);
  }
  bytes_read_ += bytes;
}

std::vector<std::byte> Reader::stored(std::uint64_t index) {
  std::vector<std::byte> out;
  read_stored(place_of(index), out);
  return out;
}

// Some are read, then unpacked, so that it can be told what takes the time.
double Reader::unpack_rows(std::span<const std::uint64_t> indices, std::span<std::uint8_t> out) {
  double seconds = 0;
  std::vector<std::byte> stored;
  std::vector<std::uint64_t> ends;
  for (std::size_t first = 0; first < indices.size(); first += kTogether) {
    const auto part = indices.subspan(first, std::min(kTogether, indices.size() - first));
    stored.clear();
    ends.clear();
    for (const std::uint64_t index : part) {
      read_stored(place_of(index), stored);
      ends.push_back(stored.size());
    }
    const double start = thread_cpu_seconds();
    for (std::size_t i = 0; i < part.size(); ++i) {
      const std::uint64_t begin = i == 0 ? 0 : ends[i - 1];
      unpack_row(part[i], std::span(stored).subspan(begin, ends[i] - begin),
                 out.subspan((first + i) * shape_.bytes(), shape_.bytes()));
    }
    seconds += thread_cpu_seconds() - start;
  }
  return seconds;
}

void Reader::unpack_row(std::uint64_t index, std::span<const std::byte> stored,
                        std::span<std::uint8_t> out) {
  try {
    unpack(packing_, shape_, stored, out);
  } catch (const DataError& error) {
    throw DataError(text("Sample id ", id(index), " in '",
                         files_.path(place_of(index).shard).string(), "': ", error.what()),
                    kRestore);
  }
}

void Reader::labels(std::span<const std::uint64_t> indices, std::span<std::int64_t> out) {
  ATELIER_CHECK(out.size() == indices.size(), "room for each label");
  copy_rows(kLabels, indices, std::as_writable_bytes(out).data());
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (out[i] >= 0 && out[i] < static_cast<std::int64_t>(classes_)) continue;
    const Path file = files_.path(place_of(indices[i]).shard);
    throw DataError(text("Sample id ", id(indices[i]), " in '", file.string(), "' has label ",
                         out[i], ", but there are ", classes_, " classes."),
                    kRestore);
  }
}

void Reader::ids(std::span<const std::uint64_t> indices, std::span<std::uint64_t> out) {
  ATELIER_CHECK(out.size() == indices.size(), "room for each id");
  copy_rows(kIds, indices, std::as_writable_bytes(out).data());
}

std::int64_t Reader::label(std::uint64_t index) {
  std::int64_t label = 0;
  labels({&index, 1}, {&label, 1});
  return label;
}

std::uint64_t Reader::id(std::uint64_t index) {
  std::uint64_t id = 0;
  ids({&index, 1}, {&id, 1});
  return id;
}

std::vector<std::byte> Reader::table(const std::string& name) {
  const auto found = std::find_if(tables_.begin(), tables_.end(),
                                  [&](const Table& table) { return table.name == name; });
  if (found == tables_.end()) throw DataError(text("The dataset has no table '", name, "'."));
  const auto table = static_cast<std::size_t>(found - tables_.begin());
  std::vector<std::byte> out(size_ * found->row_bytes());
  std::span<std::byte> rest(out);
  for (std::size_t shard = 0; shard < files_.count(); ++shard) {
    const ShardEntry& entry = files_.entry(shard);
    const TablePlace& place = entry.places[table];
    const auto rows = rest.first(entry.num_samples * found->row_bytes());
    files_.read(shard, place.offset, rows);
    for (std::uint64_t i = 0; i < found->blocks(entry.num_samples); ++i) {
      const BlockPlace block = block_at(*found, place, entry.num_samples, i);
      const auto bytes = rows.subspan(block.offset - place.offset, block.bytes);
      if (const auto damage = compare(shard, table, block, xxh3_64(bytes))) {
        throw DataError(*damage, kRestore);
      }
    }
    rest = rest.subspan(rows.size());
  }
  return out;
}

}  // namespace atelier::data
