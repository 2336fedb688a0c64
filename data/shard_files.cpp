#include "data/shard_files.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "data/guarded.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

// Of statfs(2), which names few of them: file systems whose bytes come over a network, or through
// another process. There a mapping stalls in the middle of an instruction.
constexpr std::array<unsigned long, 10> kRemote{
    0x6969,      // NFS
    0x517B,      // SMB
    0xFF534D42,  // CIFS
    0xFE534D42,  // SMB2
    0x65735546,  // FUSE
    0x0BD00BD0,  // Lustre
    0x47504653,  // GPFS
    0x19830326,  // BeeGFS
    0x00C36400,  // Ceph
    0x01021997,  // 9P
};

bool is_remote(const Path& folder) {
  struct statfs status {};
  if (::statfs(folder.c_str(), &status) != 0) return true;
  const auto type = static_cast<unsigned long>(status.f_type) & 0xFFFFFFFFUL;
  return std::find(kRemote.begin(), kRemote.end(), type) != kRemote.end();
}

std::uint64_t memory_bytes() {
  return static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

bool can_read_directly(const Path& file) {
  try {
    const RawFile opened(file, RawFile::Mode::kReadDirect);
    return true;
  } catch (const IoError&) {
    return false;
  }
}

}  // namespace

Access chosen_access(std::uint64_t split_bytes, std::uint64_t memory_bytes, bool is_remote,
                     bool in_blocks) {
  const bool is_small = split_bytes <= memory_bytes / 2;
  if (is_small) return is_remote ? Access::kRead : Access::kMap;
  return in_blocks ? Access::kDirect : Access::kRead;
}

ShardFiles::ShardFiles(const Dataset& dataset, Split split, Access access, bool in_blocks)
    : folder_(dataset.folder()) {
  std::uint64_t bytes = 0;
  for (const ShardEntry& entry : dataset.manifest().shards) {
    if (entry.split != split) continue;
    auto one = std::make_unique<One>();
    one->entry = entry;
    shards_.push_back(std::move(one));
    bytes += entry.bytes;
  }
  if (!shards_.empty()) layout_ = layout_of(dataset.manifest(), shards_.front()->entry);
  const bool remote = is_remote(folder_);
  if (access == Access::kAuto) {
    access = chosen_access(bytes, memory_bytes(), remote, in_blocks);
    if (access == Access::kDirect && !can_read_directly(path(0))) access = Access::kRead;
  } else if (access == Access::kDirect && !shards_.empty()) {
    const RawFile tells_at_once(path(0), RawFile::Mode::kReadDirect);
  }
  direct_ = access == Access::kDirect;
  maps_ = access == Access::kMap || (direct_ && !remote);
}

ShardFiles::~ShardFiles() {
  for (const auto& one : shards_) {
    if (const std::byte* const bytes = one->bytes.load()) {
      ::munmap(const_cast<std::byte*>(bytes),  // NOLINT(cppcoreguidelines-pro-type-const-cast)
               one->entry.bytes);
    }
  }
}

// The first time HDF5 must find the tables where the manifest says they are.
RawFile ShardFiles::open_anew(std::size_t shard, RawFile::Mode mode) {
  One& one = *shards_[shard];
  if (!one.compared.load()) {
    ShardLayout expected = layout_;
    expected.shard_index = one.entry.shard_index;
    expected.num_samples = one.entry.num_samples;
    expected.image_bytes = one.entry.image_bytes;
    if (inspect_shard(path(shard), expected) != one.entry.places) {
      throw DataError(text("The shard '", path(shard).string(),
                           "' keeps its tables at other offsets than the manifest says."),
                      "Restore it from a copy, or make or import the dataset again.");
    }
    one.compared = true;
  }
  RawFile file(path(shard), mode);
  file.require_size(one.entry.bytes);
  return file;
}

const std::byte* ShardFiles::mapped(std::size_t shard) {
  One& one = *shards_[shard];
  if (const std::byte* const bytes = one.bytes.load(std::memory_order_acquire)) return bytes;
  const std::scoped_lock lock(mutex_);
  if (const std::byte* const bytes = one.bytes.load()) return bytes;
  const RawFile file = open_anew(shard, RawFile::Mode::kRead);
  void* const bytes = ::mmap(nullptr, one.entry.bytes, PROT_READ, MAP_SHARED, file.handle(), 0);
  if (bytes == MAP_FAILED) {
    throw IoError(text("Cannot map '", path(shard).string(), "' (", human_bytes(one.entry.bytes),
                       "): ", std::generic_category().message(errno), "."),
                  "Set data.access = \"read\".");
  }
  one.bytes.store(static_cast<const std::byte*>(bytes), std::memory_order_release);
  return static_cast<const std::byte*>(bytes);
}

// Others go on with the files that are open while this one is opened.
std::shared_ptr<RawFile> ShardFiles::open(std::size_t shard, RawFile::Mode mode) {
  const Key key{shard, mode};
  const auto find = [&]() -> std::shared_ptr<RawFile> {
    const auto found = open_.find(key);
    if (found == open_.end()) return nullptr;
    turns_.splice(turns_.end(), turns_, found->second.turn);
    return found->second.file;
  };
  {
    const std::scoped_lock lock(mutex_);
    if (auto file = find()) return file;
  }
  auto file = std::make_shared<RawFile>(open_anew(shard, mode));
  const std::scoped_lock lock(mutex_);
  if (auto of_another = find()) return of_another;
  if (open_.size() >= kMostOpen) {
    open_.erase(turns_.front());
    turns_.pop_front();
  }
  open_.emplace(key, Open{file, turns_.insert(turns_.end(), key)});
  return file;
}

void ShardFiles::read(std::size_t shard, std::uint64_t offset, std::span<std::byte> out) {
  if (!maps_) return open(shard, RawFile::Mode::kRead)->read_at(offset, out);
  const std::byte* const from = mapped(shard) + offset;
  auto copy = [&] { std::memcpy(out.data(), from, out.size()); };
  if (!without_bus_error(copy)) throw_lost({&shard, 1});
}

std::size_t ShardFiles::read_direct(std::size_t shard, std::uint64_t offset,
                                    std::span<std::byte> out) {
  return open(shard, RawFile::Mode::kReadDirect)->read_direct(offset, out);
}

void ShardFiles::will_need(std::size_t shard, std::uint64_t offset, std::uint64_t bytes) {
  if (!maps_) return open(shard, RawFile::Mode::kRead)->will_need(offset, bytes);
  static const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t first = offset / page * page;
  ::madvise(
      const_cast<std::byte*>(mapped(shard)) +  // NOLINT(cppcoreguidelines-pro-type-const-cast)
          first,
      bytes + (offset - first), MADV_WILLNEED);
}

void ShardFiles::throw_lost(std::span<const std::size_t> shards) const {
  for (const std::size_t shard : shards) {
    RawFile(path(shard), RawFile::Mode::kRead).require_size(entry(shard).bytes);
  }
  std::vector<std::string> names;
  for (const std::size_t shard : shards) names.push_back(text("'", path(shard).string(), "'"));
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  throw IoError(text("Cannot read what is mapped of ", join(names), "."),
                "The storage device failed, or the file was changed meanwhile.");
}

}  // namespace atelier::data
