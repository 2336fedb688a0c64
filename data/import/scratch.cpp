#include "data/import/scratch.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::size_t kLinesAtOnce = std::size_t{1} << 14U;  // bytes
constexpr std::string_view kRows = ".rows-";
constexpr std::string_view kJournal = ".journal-";

Path file_of(const Path& folder, std::string_view kind, std::size_t number) {
  return folder / text(kind, number);
}

/// "ID CHANNELS OFFSET BYTES HASH"; nothing when the line was cut off.
struct Line {
  std::uint64_t id = 0;
  std::uint64_t channels = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint64_t hash = 0;
};
std::optional<Line> parse(std::string_view words) {
  Line line;
  for (std::uint64_t* const field :
       {&line.id, &line.channels, &line.offset, &line.bytes, &line.hash}) {
    const auto [end, error] = std::from_chars(words.data(), words.data() + words.size(), *field);
    if (error != std::errc()) return std::nullopt;
    words.remove_prefix(static_cast<std::size_t>(end - words.data()));
    if (!words.empty()) words.remove_prefix(1);
  }
  return line;
}

}  // namespace

Scratch::Scratch(FileSystem& files, const Path& folder, std::size_t number)
    : files_(files),
      folder_(folder),
      rows_(file_of(folder, kRows, number), RawFile::Mode::kScratch),
      journal_(file_of(folder, kJournal, number), RawFile::Mode::kScratch) {}

std::size_t Scratch::count(FileSystem& files, const Path& folder) {
  const std::vector<std::string> names = files.list(folder);
  std::size_t count = 0;
  for (const std::string& name : names) {
    if (!name.starts_with(kRows)) continue;
    const std::size_t number = std::strtoull(name.c_str() + kRows.size(), nullptr, 10);
    count = std::max(count, number + 1);
  }
  return count;
}

void Scratch::remove(FileSystem& files, const Path& folder) {
  for (const std::string& name : files.list(folder)) {
    if (name.starts_with(kRows) || name.starts_with(kJournal)) files.remove_all(folder / name);
  }
}

void Scratch::add(const Rows& rows) {
  std::uint64_t offset = 0;
  {
    const std::scoped_lock lock(mutex_);
    offset = std::exchange(end_, end_ + rows.bytes.size());
  }
  rows_.write_at(offset, rows.bytes);
  std::string lines;
  const std::byte* bytes = rows.bytes.data();
  for (const Rows::Row& row : rows.rows) {
    const std::uint64_t hash = xxh3_64({bytes, row.bytes});
    lines += text(row.id, " ", row.channels, " ", offset, " ", row.bytes, " ", hash, "\n");
    offset += row.bytes;
    bytes += row.bytes;
  }
  const std::scoped_lock lock(mutex_);
  lines_ += lines;
  if (lines_.size() < kLinesAtOnce) return;
  journal_.write_at(written_, std::as_bytes(std::span(lines_)));
  written_ += lines_.size();
  lines_.clear();
}

void Scratch::flush() {
  const std::scoped_lock lock(mutex_);
  journal_.write_at(written_, std::as_bytes(std::span(lines_)));
  written_ += lines_.size();
  lines_.clear();
}

void Scratch::open_all(std::size_t end, std::uint64_t images, std::size_t checked) {
  places_.assign(images, {});
  readable_.clear();
  for (std::size_t number = 0; number < end; ++number) open(number, number < checked);
}

void Scratch::open(std::size_t number, bool check) {
  const Path journal = file_of(folder_, kJournal, number);
  const Path rows_file = file_of(folder_, kRows, number);
  if (!files_.exists(journal) || !files_.exists(rows_file)) return;  // killed before it had both
  const RawFile& file =
      readable_.emplace(number, RawFile(rows_file, RawFile::Mode::kRead)).first->second;
  const std::string lines = files_.read(journal);
  const std::uint64_t size = file.size();
  std::vector<std::byte> bytes;
  for (std::size_t at = 0; at < lines.size();) {
    const std::size_t end = lines.find('\n', at);
    if (end == std::string::npos) return;
    const auto line = parse(std::string_view(lines).substr(at, end - at));
    at = end + 1;
    const bool fits = line && line->id < places_.size() && line->offset <= size &&
                      line->bytes <= size - line->offset &&
                      (line->channels == 1 || line->channels == 3);
    if (!fits) continue;
    if (check) {
      bytes.resize(line->bytes);
      file.read_at(line->offset, bytes);
      if (xxh3_64(bytes) != line->hash) continue;
    }
    places_[line->id] = {.offset = line->offset,
                         .bytes = line->bytes,
                         .file = static_cast<std::uint32_t>(number),
                         .channels = static_cast<std::int32_t>(line->channels)};
  }
}

void Scratch::read(std::uint64_t id, std::span<std::byte> out) const {
  const Place& place = places_.at(id);
  ATELIER_CHECK(out.size() == place.bytes, text("room for ", out.size(), " of ", place.bytes));
  readable_.at(place.file).read_at(place.offset, out);
}

}  // namespace atelier::data
