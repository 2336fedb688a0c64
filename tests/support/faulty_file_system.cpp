#include "tests/support/faulty_file_system.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::test {
namespace {

// `path` below `from` moves to the same place below `to`.
Path moved(const Path& path, const Path& from, const Path& to) {
  const Path rest = path.lexically_relative(from);
  return rest == "." ? to : to / rest;
}

bool is_at_or_below(const Path& path, const Path& folder) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first ==
         folder.end();
}

}  // namespace

class FaultyFileSystem::File final : public WritableFile {
 public:
  File(FaultyFileSystem& owner, Path path, std::unique_ptr<WritableFile> inner)
      : owner_(owner), path_(std::move(path)), inner_(std::move(inner)) {}
  void append(std::span<const std::byte> bytes) override {
    owner_.call(text("append ", bytes.size()), path_, inner_.get(), bytes.first(bytes.size() / 2));
    inner_->append(bytes);
    owner_.note_written(path_, bytes.size());
  }
  void sync() override {
    owner_.call("sync-file", path_);
    inner_->sync();
    owner_.note_synced(path_);
  }
  void close() override {
    owner_.call("close", path_);
    inner_->close();
  }

 private:
  FaultyFileSystem& owner_;
  Path path_;
  std::unique_ptr<WritableFile> inner_;
};

void FaultyFileSystem::fail_at(std::size_t nth_call, Fault fault) {
  const std::lock_guard lock(mutex_);
  ATELIER_CHECK(nth_call > 0, "calls are counted from 1");
  failing_call_ = calls_ + nth_call;
  fault_ = fault;
}

void FaultyFileSystem::reset() {
  const std::lock_guard lock(mutex_);
  calls_ = 0;
  failing_call_ = 0;
  crashed_ = false;
  history_.clear();
  lengths_.clear();
}

std::size_t FaultyFileSystem::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

std::vector<std::string> FaultyFileSystem::history() const {
  const std::lock_guard lock(mutex_);
  return history_;
}

void FaultyFileSystem::call(const std::string& what, const Path& path, WritableFile* torn_file,
                            std::span<const std::byte> half) {
  const std::lock_guard lock(mutex_);
  ++calls_;
  history_.push_back(text(what, " ", path.string()));
  const bool fails_now = calls_ == failing_call_;
  if (!fails_now && !crashed_) return;
  if (fails_now && fault_.torn && torn_file != nullptr) {
    torn_file->append(half);
    lengths_[path].written += half.size();
  }
  crashed_ = crashed_ || fault_.crash;
  throw IoError(text("Cannot ", what, " '", path.string(),
                     "': ", std::generic_category().message(fault_.error), " (call ", calls_,
                     ", made to fail)."));
}

void FaultyFileSystem::note_written(const Path& path, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  lengths_[path].written += bytes;
}

void FaultyFileSystem::note_synced(const Path& path) {
  const std::lock_guard lock(mutex_);
  const auto file = lengths_.find(path);
  if (file != lengths_.end()) file->second.synced = file->second.written;
}

void FaultyFileSystem::note_renamed(const Path& from, const Path& to) {
  const std::lock_guard lock(mutex_);
  std::map<Path, Lengths> renamed;
  for (const auto& [path, lengths] : lengths_) {
    // What stood at the target is gone with its lengths.
    if (is_at_or_below(path, from))
      renamed[moved(path, from, to)] = lengths;
    else if (path != to)
      renamed.emplace(path, lengths);
  }
  lengths_ = std::move(renamed);
}

void FaultyFileSystem::lose_unsynced_bytes() {
  const std::lock_guard lock(mutex_);
  for (auto& [path, lengths] : lengths_) {
    if (lengths.synced == lengths.written || !std::filesystem::exists(path)) continue;
    std::filesystem::resize_file(path, lengths.synced);
    lengths.written = lengths.synced;
  }
}

std::unique_ptr<WritableFile> FaultyFileSystem::create(const Path& path) {
  call("create", path);
  auto file = std::make_unique<File>(*this, path, inner_.create(path));
  const std::lock_guard lock(mutex_);
  lengths_[path] = {};
  return file;
}

std::string FaultyFileSystem::read(const Path& path) {
  call("read", path);
  return inner_.read(path);
}

void FaultyFileSystem::read_at(const Path& path, std::uint64_t offset, std::span<std::byte> out) {
  call("read_at", path);
  inner_.read_at(path, offset, out);
}

bool FaultyFileSystem::exists(const Path& path) {
  call("exists", path);
  return inner_.exists(path);
}

std::uint64_t FaultyFileSystem::size(const Path& path) {
  call("size", path);
  return inner_.size(path);
}

std::vector<std::string> FaultyFileSystem::list(const Path& directory) {
  call("list", directory);
  return inner_.list(directory);
}

void FaultyFileSystem::create_directories(const Path& path) {
  call("create_directories", path);
  inner_.create_directories(path);
}

void FaultyFileSystem::rename(const Path& from, const Path& to) {
  call(text("rename ", from.string()), to);
  inner_.rename(from, to);
  note_renamed(from, to);
}

void FaultyFileSystem::rename_new(const Path& from, const Path& to) {
  call(text("rename_new ", from.string()), to);
  inner_.rename_new(from, to);
  note_renamed(from, to);
}

void FaultyFileSystem::remove_all(const Path& path) {
  call("remove_all", path);
  inner_.remove_all(path);
  const std::lock_guard lock(mutex_);
  std::erase_if(lengths_, [&](const auto& entry) { return is_at_or_below(entry.first, path); });
}

void FaultyFileSystem::sync(const Path& path) {
  call("sync", path);
  inner_.sync(path);
  note_synced(path);
}

std::uint64_t FaultyFileSystem::free_bytes(const Path& path) {
  call("free_bytes", path);
  return inner_.free_bytes(path);
}

}  // namespace atelier::test
