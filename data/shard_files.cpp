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

}  // namespace

ShardFiles::ShardFiles(const Dataset& dataset, Split split, Access access)
    : folder_(dataset.folder()), maps_(access == Access::kMap) {
  std::uint64_t bytes = 0;
  for (const ShardEntry& entry : dataset.manifest().shards) {
    if (entry.split != split) continue;
    auto one = std::make_unique<One>();
    one->entry = entry;
    shards_.push_back(std::move(one));
    bytes += entry.bytes;
  }
  compared_.resize(shards_.size());
  if (!shards_.empty()) layout_ = layout_of(dataset.manifest(), shards_.front()->entry);
  if (access == Access::kAuto) maps_ = bytes <= memory_bytes() / 2 && !is_remote(folder_);
}

ShardFiles::~ShardFiles() {
  for (const auto& one : shards_) {
    if (const std::byte* const bytes = one->bytes.load()) {
      ::munmap(const_cast<std::byte*>(bytes),  // NOLINT(cppcoreguidelines-pro-type-const-cast)
               one->entry.bytes);
    }
  }
}

// Whether HDF5 finds the tables where the manifest says they are. Requires: mutex_ is held.
void ShardFiles::compare(std::size_t shard) {
  if (compared_[shard]) return;
  ShardLayout expected = layout_;
  expected.shard_index = entry(shard).shard_index;
  expected.num_samples = entry(shard).num_samples;
  if (inspect_shard(path(shard), expected) != entry(shard).places) {
    throw DataError(text("The shard '", path(shard).string(),
                         "' keeps its tables at other offsets than the manifest says."),
                    "Restore it from a copy, or make or import the dataset again.");
  }
  compared_[shard] = true;
}

const std::byte* ShardFiles::mapped(std::size_t shard) {
  One& one = *shards_[shard];
  if (const std::byte* const bytes = one.bytes.load(std::memory_order_acquire)) return bytes;
  const std::scoped_lock lock(mutex_);
  if (const std::byte* const bytes = one.bytes.load()) return bytes;
  compare(shard);
  const RawFile file(path(shard), RawFile::Mode::kRead);
  file.require_size(one.entry.bytes);
  void* const bytes = ::mmap(nullptr, one.entry.bytes, PROT_READ, MAP_SHARED, file.handle(), 0);
  if (bytes == MAP_FAILED) {
    throw IoError(text("Cannot map '", path(shard).string(), "' (", human_bytes(one.entry.bytes),
                       "): ", std::generic_category().message(errno), "."),
                  "Set data.access = \"read\".");
  }
  one.bytes.store(static_cast<const std::byte*>(bytes), std::memory_order_release);
  return static_cast<const std::byte*>(bytes);
}

std::shared_ptr<RawFile> ShardFiles::open(std::size_t shard) {
  const std::scoped_lock lock(mutex_);
  if (const auto found = open_.find(shard); found != open_.end()) {
    turns_.splice(turns_.end(), turns_, found->second.turn);
    return found->second.file;
  }
  compare(shard);
  auto file = std::make_shared<RawFile>(path(shard), RawFile::Mode::kRead);
  file->require_size(entry(shard).bytes);
  if (open_.size() >= kMostOpen) {
    open_.erase(turns_.front());
    turns_.pop_front();
  }
  open_.emplace(shard, Open{file, turns_.insert(turns_.end(), shard)});
  return file;
}

void ShardFiles::read(std::size_t shard, std::uint64_t offset, std::span<std::byte> out) {
  if (!maps_) return open(shard)->read_at(offset, out);
  const std::byte* const from = mapped(shard) + offset;
  auto copy = [&] { std::memcpy(out.data(), from, out.size()); };
  if (!without_bus_error(copy)) throw_lost({&shard, 1});
}

void ShardFiles::will_need(std::size_t shard, std::uint64_t offset, std::uint64_t bytes) {
  if (!maps_) return open(shard)->will_need(offset, bytes);
  constexpr std::uint64_t kPage = 4096;
  const std::uint64_t first = offset / kPage * kPage;
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
