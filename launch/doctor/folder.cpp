#include "launch/doctor/folder.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "launch/base/error.h"
#include "launch/base/random.h"
#include "launch/base/text.h"

namespace atelier::doctor {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBlockBytes = std::size_t{1} << 20U;
constexpr int kMostFilesLookedAt = 10'000;

struct KnownKind {
  std::uint32_t magic;
  const char* name;
};
// statfs(2), and the kernel's uapi/linux/magic.h; the last ones are outside the kernel.
constexpr std::array<KnownKind, 18> kKinds{{{0xEF53, "ext4"},
                                            {0x58465342, "xfs"},
                                            {0x9123683E, "btrfs"},
                                            {0xF2F52010, "f2fs"},
                                            {0x01021994, "tmpfs"},
                                            {0x858458F6, "ramfs"},
                                            {0x794C7630, "overlay"},
                                            {0x6969, "nfs"},
                                            {0xFF534D42, "cifs"},
                                            {0xFE534D42, "smb2"},
                                            {0x00C36400, "ceph"},
                                            {0x65735546, "fuse"},
                                            {0x01021997, "9p"},
                                            {0x9FA0, "proc"},
                                            {0x62656572, "sysfs"},
                                            {0x2FC12FC1, "zfs"},
                                            {0x0BD00BD0, "lustre"},
                                            {0x47504653, "gpfs"}}};

[[noreturn]] void fail(std::string_view attempted, const Path& path, int code) {
  throw IoError(text("cannot ", attempted, " '", path.string(),
                     "': ", std::generic_category().message(code)));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

// A file that has no name any more when this returns.
int open_nameless(const Path& folder) {
  std::string name = (folder / ".atelier-doctor-XXXXXX").string();
  const int fd = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) fail("create a file in", folder, errno);
  if (::unlink(name.c_str()) != 0) {
    const int code = errno;
    ::close(fd);
    fail("remove", name, code);
  }
  return fd;
}

class Timer {
 public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Blocks that differ from each other and that no file system can compress.
class Blocks {
 public:
  Blocks() : words_(kBlockBytes / sizeof(std::uint64_t)) {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] = mix64(i);
  }
  [[nodiscard]] const std::vector<std::uint64_t>& block(std::uint64_t number) {
    words_.front() = mix64(~number);
    return words_;
  }

 private:
  std::vector<std::uint64_t> words_;
};

void write_trial(const Descriptor& file, const Path& folder, FolderFacts& facts) {
  Blocks blocks;
  const Timer timer;
  while (facts.written_bytes < kTrialBytes && timer.seconds() < kTrialSeconds) {
    const auto& block = blocks.block(facts.written_bytes / kBlockBytes);
    const ssize_t written =
        ::pwrite(file.get(), block.data(), kBlockBytes, static_cast<off_t>(facts.written_bytes));
    if (written < 0 && errno == EINTR) continue;
    if (written != static_cast<ssize_t>(kBlockBytes)) {
      fail("write to a file in", folder, written < 0 ? errno : ENOSPC);
    }
    facts.written_bytes += kBlockBytes;
  }
  if (::fsync(file.get()) != 0) fail("sync a file in", folder, errno);
  facts.write_seconds = timer.seconds();
}

// The kernel drops what it can of the file from its cache; where it cannot (tmpfs), memory is what
// training would read from as well.
void forget_cached(const Descriptor& file) {
  static_cast<void>(::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED));
}

// Bytes read into `block`; fewer than asked for only at the end of the file.
std::size_t read_block(const Descriptor& file, const Path& path, std::uint64_t offset,
                       std::vector<std::uint64_t>& block) {
  ssize_t got = -1;
  do {
    got = ::pread(file.get(), block.data(), kBlockBytes, static_cast<off_t>(offset));
  } while (got < 0 && errno == EINTR);
  if (got < 0) fail("read", path, errno);
  return static_cast<std::size_t>(got);
}

void read_back_trial(const Descriptor& file, const Path& folder, FolderFacts& facts) {
  forget_cached(file);
  Blocks blocks;
  std::vector<std::uint64_t> found(kBlockBytes / sizeof(std::uint64_t));
  while (facts.read_bytes < facts.written_bytes && facts.read_seconds < kTrialSeconds) {
    const Timer timer;
    const std::size_t got = read_block(file, folder, facts.read_bytes, found);
    facts.read_seconds += timer.seconds();
    if (got != kBlockBytes || found != blocks.block(facts.read_bytes / kBlockBytes)) {
      throw IoError(text("a file in '", folder.string(), "' read back other bytes near ",
                         human_bytes(facts.read_bytes), " than were written"));
    }
    facts.read_bytes += got;
  }
}

void read_trial(const Path& path, FolderFacts& facts) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) fail("open", path, errno);
  forget_cached(file);
  std::vector<std::uint64_t> block(kBlockBytes / sizeof(std::uint64_t));
  const Timer timer;
  while (facts.read_bytes < kTrialBytes && timer.seconds() < kTrialSeconds) {
    const std::size_t got = read_block(file, path, facts.read_bytes, block);
    facts.read_bytes += got;
    if (got < kBlockBytes) break;
  }
  facts.read_seconds = timer.seconds();
}

Path largest_file(const Path& folder) {
  std::error_code problem;
  Path largest;
  std::uintmax_t most = 0;
  int looked_at = 0;
  fs::recursive_directory_iterator entry(folder, fs::directory_options::skip_permission_denied,
                                         problem);
  while (!problem && entry != fs::recursive_directory_iterator() &&
         looked_at++ < kMostFilesLookedAt) {
    std::error_code gone;
    const bool is_file = entry->is_regular_file(gone);
    const std::uintmax_t bytes = is_file ? entry->file_size(gone) : 0;
    if (!gone && bytes > most) {
      most = bytes;
      largest = entry->path();
    }
    entry.increment(problem);
  }
  if (problem) fail("list", folder, problem.value());
  return largest;
}

void look_at_file_system(const Path& folder, FolderFacts& facts) {
  struct statfs found {};
  if (::statfs(folder.c_str(), &found) != 0) fail("look at the file system of", folder, errno);
  facts.free_bytes = std::uint64_t{found.f_bavail} * static_cast<std::uint64_t>(found.f_bsize);
  const auto magic = static_cast<std::uint32_t>(found.f_type);
  const auto* known = std::find_if(kKinds.begin(), kKinds.end(),
                                   [&](const KnownKind& kind) { return kind.magic == magic; });
  facts.kind = known != kKinds.end() ? known->name : "another file system";
}

void require_folder(const Path& path) {
  std::error_code problem;
  const fs::file_status status = fs::status(path, problem);
  if (!fs::exists(status)) fail("find", path, problem ? problem.value() : ENOENT);
  if (!fs::is_directory(status)) fail("use", path, ENOTDIR);
}

Path nearest_existing(const Path& path) {
  Path folder = fs::absolute(path).lexically_normal();
  std::error_code ignored;
  while (!fs::exists(folder, ignored) && folder.has_relative_path()) folder = folder.parent_path();
  return folder;
}

}  // namespace

FolderFacts probe_data_folder(const Path& path, bool measure) {
  FolderFacts facts{.role = "data", .path = path.string()};
  try {
    require_folder(path);
    look_at_file_system(path, facts);
    const Path largest = largest_file(path);
    if (largest.empty()) throw IoError(text("there is nothing in '", path.string(), "'"));
    if (measure) read_trial(largest, facts);
  } catch (const IoError& error) {
    facts.fault = error.what();
  }
  return facts;
}

FolderFacts probe_run_folder(const Path& path, bool measure) {
  FolderFacts facts{.role = "run", .path = path.string()};
  try {
    const Path folder = nearest_existing(path);
    require_folder(folder);
    look_at_file_system(folder, facts);
    const Descriptor file(open_nameless(folder));
    if (measure && facts.free_bytes >= 4 * kTrialBytes) {
      write_trial(file, folder, facts);
      read_back_trial(file, folder, facts);
    }
  } catch (const IoError& error) {
    facts.fault = error.what();
  }
  return facts;
}

}  // namespace atelier::doctor
