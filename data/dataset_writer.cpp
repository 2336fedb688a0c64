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

class DatasetWriter {
 public:
  DatasetWriter(FileSystem& files, const Path& folder, const DatasetPlan& plan,
                const FillRows& fill)
      : files_(files), folder_(folder), plan_(plan), fill_(fill) {
    manifest_.shape = plan.shape;
    manifest_.class_names = plan.class_names;
    manifest_.factor_names = plan.factor_names;
    manifest_.tables = required_tables(plan.shape);
    manifest_.tables.insert(manifest_.tables.end(), plan.extra_tables.begin(),
                            plan.extra_tables.end());
    manifest_.pixel_sums.assign(static_cast<std::size_t>(plan.shape.channels), 0);
    manifest_.pixel_square_sums = manifest_.pixel_sums;
    manifest_.valid_from_train = plan.valid_from_train;
    manifest_.source = plan.source;
    manifest_.creator = plan.creator;
    const std::uint64_t rows = manifest_.tables[kImages].block_rows();
    for (const Table& table : manifest_.tables)
      buffers_.emplace_back(static_cast<std::size_t>(rows * table.row_bytes()));
  }

  Manifest run(const Clock& clock) {
    for (const Split split : kSplits) write_split(split);
    manifest_.created = utc(clock.unix_seconds());
    manifest_.host = host_name();
    write_atomically(files_, folder_ / kManifestName, to_json(manifest_));
    return std::move(manifest_);
  }

 private:
  void write_split(Split split) {
    SplitEntry& entry = manifest_.splits.at(index_of(split));
    const std::uint64_t samples = plan_.samples.at(index_of(split));
    entry.num_samples = samples;
    entry.class_counts.assign(plan_.class_names.size(), 0);
    content_ = std::vector<Hasher>(manifest_.tables.size());
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
      write_shard(split, {shard, shards}, begin(shard), begin(shard + 1) - begin(shard));
    }
    for (const Hasher& hash : content_) entry.table_hashes.push_back(to_hex(hash.value()));
  }

  struct Position {
    std::uint64_t index;
    std::uint64_t count;
  };

  void write_shard(Split split, Position position, std::uint64_t first, std::uint64_t count) {
    ShardEntry entry{.file = shard_file_name(split, position.index, position.count),
                     .split = split,
                     .shard_index = position.index,
                     .num_samples = count,
                     .bytes = 0,
                     .hash = {},
                     .places = {}};
    ShardLayout layout = layout_of(manifest_, entry);
    layout.num_shards = position.count;
    const Path temporary = folder_ / text(".tmp-", entry.file);
    entry.places = create_shard(temporary, layout);
    write_rows(temporary, entry, first);
    files_.sync(temporary);
    entry.bytes = files_.size(temporary);
    entry.hash = read_back(temporary, layout, entry);
    files_.rename(temporary, folder_ / entry.file);
    manifest_.shards.push_back(std::move(entry));
  }

  void write_rows(const Path& path, const ShardEntry& entry, std::uint64_t first) {
    RawFile file(path, RawFile::Mode::kWrite);
    std::vector<TableWriter> writers;
    writers.reserve(entry.places.size());
    for (const TablePlace& place : entry.places) writers.emplace_back(file, place);
    const std::uint64_t block = manifest_.tables[kImages].block_rows();
    for (std::uint64_t done = 0; done < entry.num_samples; done += block) {
      const std::uint64_t rows = std::min(block, entry.num_samples - done);
      std::vector<std::span<std::byte>> spans;
      for (std::size_t i = 0; i < buffers_.size(); ++i)
        spans.push_back(std::span(buffers_[i]).first(rows * manifest_.tables[i].row_bytes()));
      fill_({entry.split, first + done, rows, spans});
      count(entry.split, spans);
      for (std::size_t i = 0; i < writers.size(); ++i) {
        writers[i].write(spans[i], manifest_.tables[i]);
        content_[i].update(spans[i]);
      }
    }
    for (TableWriter& writer : writers) writer.finish();
  }

  void count(Split split, std::span<const std::span<std::byte>> spans) {
    SplitEntry& entry = manifest_.splits.at(index_of(split));
    for (std::size_t at = 0; at < spans[kLabels].size(); at += sizeof(std::int64_t)) {
      std::int64_t label = 0;
      std::memcpy(&label, &spans[kLabels][at], sizeof(label));
      if (label < 0 || static_cast<std::uint64_t>(label) >= entry.class_counts.size()) {
        throw DataError(text("Cannot write a sample with label ", label, ": there are ",
                             entry.class_counts.size(), " classes."));
      }
      ++entry.class_counts[static_cast<std::size_t>(label)];
    }
    if (split != Split::kTrain) return;
    const std::size_t channels = manifest_.pixel_sums.size();
    std::array<std::array<std::uint64_t, 2>, 3> sums{};
    const std::span<std::byte> pixels = spans[kImages];
    for (std::size_t at = 0; at < pixels.size(); at += channels) {
      for (std::size_t c = 0; c < channels; ++c) {
        const auto value = std::to_integer<std::uint64_t>(pixels[at + c]);
        sums[c][0] += value;
        sums[c][1] += value * value;
      }
    }
    for (std::size_t c = 0; c < channels; ++c) {
      manifest_.pixel_sums[c] += sums[c][0];
      manifest_.pixel_square_sums[c] += sums[c][1];
    }
  }

  // What reached the file must be what was meant: layout, every block, and the whole-file hash.
  std::string read_back(const Path& path, const ShardLayout& layout, const ShardEntry& entry) {
    if (inspect_shard(path, layout) != entry.places)
      throw IoError(text("The shard '", path.string(), "' reads back with other offsets."));
    const ShardDamage damage = check_shard_bytes(path, layout.tables, entry);
    if (!damage.findings.empty()) {
      throw IoError(text("The shard just written reads back damaged: ", damage.findings.front()),
                    "Check the disk.");
    }
    return damage.file_hash;
  }

  FileSystem& files_;
  const Path& folder_;
  const DatasetPlan& plan_;
  const FillRows& fill_;
  Manifest manifest_;
  std::vector<std::vector<std::byte>> buffers_;
  std::vector<Hasher> content_;
};

}  // namespace

StagingFolder::StagingFolder(FileSystem& files, const Path& target)
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
  for (const std::string& name : files_.list(path_)) files_.remove_all(path_ / name);
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
  const auto side = [](int n) { return n >= 1 && n <= kMaxImageSide; };
  if (!side(plan.shape.height) || !side(plan.shape.width) ||
      (plan.shape.channels != 1 && plan.shape.channels != 3)) {
    throw DataError(text("Cannot make a dataset of ", plan.shape.name(), " images."),
                    "Sides of 1 to 16384 pixels and 1 or 3 channels are possible.");
  }
  if (plan.samples.at(index_of(Split::kTrain)) == 0) {
    throw DataError(
        text("Cannot make the dataset '", staging.path().string(), "' without training images."),
        "The source holds none that could be read.");
  }
  return DatasetWriter(files, staging.path(), plan, fill).run(clock);
}

}  // namespace atelier::data
