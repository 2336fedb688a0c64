#include "checkpoints/contents.h"

#include <algorithm>
#include <set>
#include <utility>

#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/text.h"

namespace atelier::checkpoints {
namespace {

constexpr std::string_view kEnding = ".safetensors";

void check(const Contents& contents) {
  ATELIER_CHECK(contents.step >= 0, text("step ", contents.step));
  std::set<std::string_view> names;
  for (const NamedFile& file : contents.files) {
    ATELIER_CHECK(is_plain_name(file.name) && file.name.ends_with(kEnding),
                  text("'", file.name, "' is no name for a tensor file"));
    ATELIER_CHECK(names.insert(file.name).second, text("two files named '", file.name, "'"));
  }
}

using WriteBytes = std::function<void(const ByteSink&)>;

/// Cuts a stream of bytes into chunks, hashes each and writes it.
class Chunker {
 public:
  /// `file` may be null: hash only. Lifetime: outlives the chunker.
  Chunker(std::uint64_t chunk_bytes, WritableFile* file) : chunk_bytes_(chunk_bytes), file_(file) {
    chunk_.reserve(chunk_bytes_);
  }
  void append(std::span<const std::byte> bytes) {
    bytes_ += bytes.size();
    while (!bytes.empty()) {
      const std::size_t part = std::min<std::size_t>(bytes.size(), chunk_bytes_ - chunk_.size());
      chunk_.insert(chunk_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(part));
      bytes = bytes.subspan(part);
      if (chunk_.size() == chunk_bytes_) flush();
    }
  }
  [[nodiscard]] FileRecord finish(std::string name) {
    if (!chunk_.empty()) flush();
    return {std::move(name), bytes_, std::move(hashes_)};
  }

 private:
  void flush() {
    hashes_.push_back(xxh3_64(chunk_));
    if (file_ != nullptr) file_->append(chunk_);
    chunk_.clear();
  }

  std::uint64_t chunk_bytes_;
  WritableFile* file_;
  std::vector<std::byte> chunk_;
  std::vector<std::uint64_t> hashes_;
  std::uint64_t bytes_ = 0;
};

}  // namespace

Layout::Layout(const Contents& contents, std::uint64_t chunk_bytes)
    : contents_(contents), chunk_bytes_(chunk_bytes) {
  check(contents);
  for (const NamedFile& file : contents.files) images_.emplace_back(file.tensors, file.metadata);
}

std::uint64_t Layout::bytes() const {
  std::uint64_t total = contents_.state_json.size();
  for (const SafetensorsImage& image : images_) total += image.bytes();
  return total;
}

Manifest Layout::manifest() const { return hash_and_write(nullptr, {}); }

Manifest Layout::write(FileSystem& files, const Path& directory) const {
  return hash_and_write(&files, directory);
}

Manifest Layout::hash_and_write(FileSystem* files, const Path& directory) const {
  Manifest manifest{contents_.step, chunk_bytes_, {}};
  const auto add = [&](std::string name, const WriteBytes& write_bytes) {
    const auto file = files == nullptr ? nullptr : files->create(directory / name);
    Chunker chunker(chunk_bytes_, file.get());
    write_bytes([&](std::span<const std::byte> bytes) { chunker.append(bytes); });
    manifest.files.push_back(chunker.finish(std::move(name)));
    if (file == nullptr) return;
    file->sync();
    file->close();
  };
  for (std::size_t i = 0; i < images_.size(); ++i)
    add(contents_.files[i].name, [&](const ByteSink& sink) { images_[i].write(sink); });
  add(std::string(kStateName),
      [&](const ByteSink& sink) { sink(std::as_bytes(std::span(contents_.state_json))); });
  return manifest;
}

}  // namespace atelier::checkpoints
