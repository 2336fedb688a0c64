#include "data/shard_writer.h"

#include <algorithm>
#include <utility>

#include "data/raw_file.h"
#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

/// One table while it is written: rows at their place, and the hashes of their blocks.
class TableWriter {
 public:
  TableWriter(const RawFile& file, const Table& table, TablePlace place)
      : file_(file), place_(place), block_bytes_(table.block_rows() * table.row_bytes()) {}

  void write(std::span<const std::byte> rows) {
    file_.write_at(place_.offset + written_, rows);
    written_ += rows.size();
    // Images define how many rows come at once; tables with larger blocks gather several.
    while (!rows.empty()) {
      const std::size_t part = std::min<std::uint64_t>(rows.size(), block_bytes_ - in_block_);
      block_.update(rows.first(part));
      rows = rows.subspan(part);
      in_block_ += part;
      if (in_block_ == block_bytes_) end_block();
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
    const std::uint64_t begin = hashes_.size() * block_bytes_ - block_bytes_;
    file_.begin_sync(place_.offset + begin, in_block_);
    in_block_ = 0;
  }
  const RawFile& file_;
  TablePlace place_;
  std::uint64_t block_bytes_;
  std::uint64_t written_ = 0;
  std::uint64_t in_block_ = 0;
  Hasher block_;
  std::vector<std::uint64_t> hashes_;
};

/// Images of as many bytes as it happens, kept on disk until their number of bytes is known: the
/// shard has no room for them before.
class PackedImages {
 public:
  PackedImages(FileSystem& files, const Path& path) : kept_(fresh(files, path)) {
    files.remove_all(path);  // the open file stays, and nothing is left of a killed writer
  }

  void add(std::span<const std::byte> image) {
    if (image.size() > kMaxStoredImage || block_.size() + image.size() > kMaxStoredBlock) {
      throw DataError(text("Cannot store an image of ", human_bytes(image.size()), " as its file."),
                      "Import it with --storage raw.");
    }
    block_.insert(block_.end(), image.begin(), image.end());
    ends_.push_back(bytes_ + block_.size());
  }
  void end_block() {
    kept_.write_at(bytes_, block_);
    hashes_.push_back(xxh3_64(block_));
    bytes_ += block_.size();
    block_.clear();
  }
  [[nodiscard]] const std::vector<std::uint64_t>& ends() const { return ends_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

  void copy_to(const RawFile& file, TablePlace place) {
    constexpr std::uint64_t kPiece = 1U << 20U;
    for (std::uint64_t at = 0; at < bytes_; at += kPiece) {
      block_.resize(std::min(kPiece, bytes_ - at));
      kept_.read_at(at, block_);
      file.write_at(place.offset + at, block_);
    }
    file.write_at(place.hash_offset, std::as_bytes(std::span(hashes_)));
  }

 private:
  static RawFile fresh(FileSystem& files, const Path& path) {
    files.remove_all(path);
    return {path, RawFile::Mode::kScratch};
  }
  RawFile kept_;
  std::uint64_t bytes_ = 0;
  std::vector<std::byte> block_;
  std::vector<std::uint64_t> ends_;
  std::vector<std::uint64_t> hashes_;
};

using Rows = std::vector<std::vector<std::byte>>;  // by table

std::vector<std::span<std::byte>> first_rows(const ShardLayout& layout, Rows& buffers,
                                             std::uint64_t count) {
  std::vector<std::span<std::byte>> spans;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const std::uint64_t bytes = count * layout.tables[i].row_bytes();
    buffers[i].resize(bytes);
    spans.emplace_back(buffers[i]);
  }
  return spans;
}

/// Calls `see` for each block of images, with the rows that `fill` gave.
template <typename See>
void each_block(const ShardLayout& layout, std::uint64_t first, const FillRows& fill,
                const See& see) {
  const bool encoded = layout.packing.storage == Storage::kEncoded;
  Rows buffers(layout.tables.size() - (layout.packing.varies() ? 1 : 0));  // ends are not filled
  std::vector<std::vector<std::byte>> image_files;
  const std::uint64_t block = layout.tables[kImages].block_rows();
  for (std::uint64_t done = 0; done < layout.num_samples; done += block) {
    const std::uint64_t count = std::min(block, layout.num_samples - done);
    std::vector<std::span<std::byte>> spans = first_rows(layout, buffers, count);
    if (encoded) {
      image_files.resize(count);
      spans[kImages] = {};
    }
    fill({layout.split, first + done, count, spans, image_files});
    see(buffers, image_files);
  }
}

void write_raw(const Path& path, const ShardLayout& layout, std::uint64_t first,
               const FillRows& fill) {
  const std::vector<TablePlace> places = create_shard(path, layout);
  const RawFile file(path, RawFile::Mode::kWrite);
  std::vector<TableWriter> writers;
  for (std::size_t i = 0; i < places.size(); ++i)
    writers.emplace_back(file, layout.tables[i], places[i]);
  each_block(layout, first, fill, [&](const Rows& rows, const Rows& /*files*/) {
    for (std::size_t i = 0; i < writers.size(); ++i) writers[i].write(rows[i]);
  });
  for (TableWriter& writer : writers) writer.finish();
}

void write_packed(FileSystem& files, const Path& path, ShardLayout layout, std::uint64_t first,
                  const FillRows& fill) {
  PackedImages images(files, path.string() + ".packed");
  Rows kept(layout.tables.size());  // of all tables but images; small beside them
  each_block(layout, first, fill, [&](const Rows& rows, const Rows& image_files) {
    const std::span<const std::byte> pixels(rows[kImages]);
    const std::size_t bytes = layout.tables[kImages].row_bytes();
    for (const auto& file : image_files) images.add(file);
    for (std::size_t at = 0; image_files.empty() && at < pixels.size(); at += bytes)
      images.add(deflated(pixels.subspan(at, bytes)));
    images.end_block();
    for (std::size_t i = kImages + 1; i < rows.size(); ++i)
      kept[i].insert(kept[i].end(), rows[i].begin(), rows[i].end());
  });
  const auto ends = std::as_bytes(std::span(images.ends()));
  kept.back().assign(ends.begin(), ends.end());
  layout.image_bytes = images.bytes();
  const std::vector<TablePlace> places = create_shard(path, layout);
  const RawFile file(path, RawFile::Mode::kWrite);
  images.copy_to(file, places[kImages]);
  for (std::size_t i = kImages + 1; i < places.size(); ++i) {
    TableWriter writer(file, layout.tables[i], places[i]);
    writer.write(kept[i]);
    writer.finish();
  }
}

}  // namespace

void write_shard(FileSystem& files, const Path& file, ShardLayout layout, std::uint64_t first,
                 const FillRows& fill) {
  files.remove_all(file);
  if (layout.packing.varies()) return write_packed(files, file, std::move(layout), first, fill);
  write_raw(file, layout, first, fill);
}

}  // namespace atelier::data
