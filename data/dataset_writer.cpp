#include "data/dataset_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "data/raw_file.h"
#include "data/shard_check.h"
#include "data/shard_layout.h"
#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr const char* kPurposeName = ".purpose";

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

/// One table of one shard while it is written: block after block at its place in the file.
class TableWriter {
 public:
  TableWriter(RawFile& file, TablePlace place) : file_(file), place_(place) {}
  void write(std::span<const std::byte> rows, const Table& table) {
    const std::uint64_t block_bytes = table.block_rows() * table.row_bytes();
    file_.write_at(place_.offset + written_, rows);
    written_ += rows.size();
    // Images define how many rows come at once; tables with larger blocks gather several.
    while (!rows.empty()) {
      const std::size_t part = std::min<std::uint64_t>(rows.size(), block_bytes - in_block_);
      block_.update(rows.first(part));
      rows = rows.subspan(part);
      in_block_ += part;
      if (in_block_ == block_bytes) end_block();
    }
  }
  void finish() {
    if (in_block_ > 0) end_block();
    file_.write_at(place_.hash_offset, std::as_bytes(std::span(hashes_)));
  }

 private:
  void end_block() {
    hashes_.push_back(block_.value());
    block_.reset();
    in_block_ = 0;
  }
  RawFile& file_;
  TablePlace place_;
  std::uint64_t written_ = 0;
  std::uint64_t in_block_ = 0;
  Hasher block_;
  std::vector<std::uint64_t> hashes_;
};

}  // namespace

DatasetWriter::DatasetWriter(FileSystem& files, Path folder, DatasetPlan plan,
                             const std::vector<std::uint64_t>& rows)
    : files_(files), folder_(std::move(folder)), plan_(std::move(plan)) {
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
  for (const Table& table : manifest_.tables) row_bytes += table.row_bytes();
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
  ShardEntry entry = entry_of(part);
  if (files_.exists(folder_ / entry.file)) return;
  ShardLayout layout = layout_of(manifest_, entry);
  layout.num_shards = part.count;
  const Path temporary = folder_ / text(".tmp-", entry.file);
  files_.remove_all(temporary);  // of a writer that was killed
  entry.places = create_shard(temporary, layout);
  write_rows(temporary, entry, part.first, fill);
  files_.sync(temporary);
  files_.rename(temporary, folder_ / entry.file);
}

void DatasetWriter::write_rows(const Path& path, const ShardEntry& entry, std::uint64_t first,
                               const FillRows& fill) {
  RawFile file(path, RawFile::Mode::kWrite);
  std::vector<TableWriter> writers;
  writers.reserve(entry.places.size());
  for (const TablePlace& place : entry.places) writers.emplace_back(file, place);
  const std::uint64_t block = manifest_.tables[kImages].block_rows();
  std::vector<std::vector<std::byte>> buffers;
  buffers.reserve(manifest_.tables.size());
  for (const Table& table : manifest_.tables)
    buffers.emplace_back(static_cast<std::size_t>(block * table.row_bytes()));
  for (std::uint64_t done = 0; done < entry.num_samples; done += block) {
    const std::uint64_t rows = std::min(block, entry.num_samples - done);
    std::vector<std::span<std::byte>> spans;
    for (std::size_t i = 0; i < buffers.size(); ++i)
      spans.push_back(std::span(buffers[i]).first(rows * manifest_.tables[i].row_bytes()));
    fill({entry.split, first + done, rows, spans});
    for (std::size_t i = 0; i < writers.size(); ++i)
      writers[i].write(spans[i], manifest_.tables[i]);
  }
  for (TableWriter& writer : writers) writer.finish();
}

// What reached the file must be what was meant: layout, every block, and the whole-file hash.
void DatasetWriter::seal(std::size_t shard) {
  const Part& part = parts_.at(shard);
  ShardEntry entry = entry_of(part);
  const Path path = folder_ / entry.file;
  ShardLayout layout = layout_of(manifest_, entry);
  layout.num_shards = part.count;
  if (part.index == 0) content_ = std::vector<Hasher>(manifest_.tables.size());
  entry.places = inspect_shard(path, layout);
  entry.bytes = files_.size(path);
  const auto see = [&](std::size_t table, std::span<const std::byte> rows) {
    content_[table].update(rows);
    count(part.split, table, rows);
  };
  const ShardDamage damage = check_shard_bytes(path, layout.tables, entry, see);
  if (!damage.findings.empty()) {
    throw IoError(text("The shard just written reads back damaged: ", damage.findings.front()),
                  "Check the disk.");
  }
  entry.hash = damage.file_hash;
  manifest_.shards.push_back(std::move(entry));
  if (part.index + 1 < part.count) return;
  for (const Hasher& hash : content_)
    manifest_.splits.at(index_of(part.split)).table_hashes.push_back(to_hex(hash.value()));
}

void DatasetWriter::count(Split split, std::size_t table, std::span<const std::byte> rows) {
  SplitEntry& entry = manifest_.splits.at(index_of(split));
  for (std::size_t at = 0; table == kLabels && at < rows.size(); at += sizeof(std::int64_t)) {
    std::int64_t label = 0;
    std::memcpy(&label, &rows[at], sizeof(label));
    if (label < 0 || static_cast<std::uint64_t>(label) >= entry.class_counts.size()) {
      throw DataError(text("Cannot write a sample with label ", label, ": there are ",
                           entry.class_counts.size(), " classes."));
    }
    ++entry.class_counts[static_cast<std::size_t>(label)];
  }
  if (split != Split::kTrain || table != kImages) return;
  const std::size_t channels = manifest_.pixel_sums.size();
  std::array<std::array<std::uint64_t, 2>, 3> sums{};
  for (std::size_t at = 0; at < rows.size(); at += channels) {
    for (std::size_t c = 0; c < channels; ++c) {
      const auto value = std::to_integer<std::uint64_t>(rows[at + c]);
      sums[c][0] += value;
      sums[c][1] += value * value;
    }
  }
  for (std::size_t c = 0; c < channels; ++c) {
    manifest_.pixel_sums[c] += sums[c][0];
    manifest_.pixel_square_sums[c] += sums[c][1];
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

StagingFolder::StagingFolder(FileSystem& files, const Path& target, const std::string& purpose)
    : files_(files), target_(std::filesystem::absolute(target).lexically_normal()) {
  if (!target_.has_filename()) target_ = target_.parent_path();
  path_ = target_.parent_path() / text(".", target_.filename().string(), ".partial");
  if (files_.exists(target_)) {
    throw OutputError(text("Cannot create the dataset '", target_.string(), "': it exists."),
                      "Choose another name, or remove it first.");
  }
  try {
    files_.create_directories(path_);
  } catch (const IoError& error) {
    throw OutputError(error.what());
  }
  if (!lock_.take(path_)) {
    throw OutputError(text("Cannot create the dataset '", target_.string(),
                           "': another process is writing it in '", path_.string(), "'."),
                      "Wait for it, or choose another name.");
  }
  const Path note = path_ / kPurposeName;
  if (!purpose.empty() && files_.exists(note) && files_.read(note) == purpose) return;
  for (const std::string& name : files_.list(path_)) files_.remove_all(path_ / name);
  if (purpose.empty()) return;
  try {
    write_atomically(files_, note, purpose);
  } catch (const IoError&) {
    files_.remove_all(path_);
    throw;
  }
}

// The folder itself is locked, so that the lock moves with it when it is renamed. File systems
// without such locks (some network ones) go without.
bool StagingFolder::Lock::take(const Path& folder) {
  fd_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd_ < 0) {
    throw OutputError(text("Cannot open the folder '", folder.string(),
                           "': ", std::generic_category().message(errno), "."));
  }
  return ::flock(fd_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

StagingFolder::Lock::~Lock() {
  if (fd_ >= 0) ::close(fd_);
}

StagingFolder::~StagingFolder() {
  if (published_) return;
  try {
    files_.remove_all(path_);
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the next writer clears it
  }
}

void StagingFolder::publish() {
  files_.remove_all(path_ / kPurposeName);
  files_.sync(path_);
  if (files_.exists(target_)) {
    throw OutputError(text("Cannot create the dataset '", target_.string(), "': it exists."),
                      "Somebody made it meanwhile; choose another name.");
  }
  files_.rename_new(path_, target_);
  published_ = true;
  files_.sync(target_.parent_path());
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
