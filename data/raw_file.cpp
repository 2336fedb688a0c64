#include "data/raw_file.h"

#include <cerrno>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

[[noreturn]] void fail(std::string_view attempted, const Path& path, int code) {
  throw IoError(
      text("Cannot ", attempted, " '", path.string(), "': ", std::generic_category().message(code),
           "."),
      code == ENOSPC || code == EDQUOT ? "Free some space or choose another folder." : "");
}

int flags_of(RawFile::Mode mode) {
  switch (mode) {
    case RawFile::Mode::kRead:
      return O_RDONLY;
    case RawFile::Mode::kReadDirect:
      return O_RDONLY | O_DIRECT;
    case RawFile::Mode::kWrite:
      return O_WRONLY;
    case RawFile::Mode::kScratch:
      return O_RDWR | O_CREAT | O_EXCL;
  }
  return O_RDONLY;
}

}  // namespace

RawFile::RawFile(Path path, Mode mode)
    : path_(std::move(path)), fd_(::open(path_.c_str(), flags_of(mode) | O_CLOEXEC, 0644)) {
  if (fd_ < 0 && mode == Mode::kReadDirect && errno == EINVAL) {
    throw IoError(text("Cannot read '", path_.string(),
                       "' past the system's cache: its file system knows no O_DIRECT."),
                  "Set data.access = \"read\" or \"map\".");
  }
  if (fd_ < 0) fail("open", path_, errno);
}

RawFile::RawFile(RawFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

RawFile::~RawFile() {
  if (fd_ >= 0) ::close(fd_);
}

void RawFile::read_at(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(text("read byte ", offset, " of"), path_, errno);
    if (got == 0) {
      throw DataError(text("'", path_.string(), "' ends at byte ", offset, ", ", out.size(),
                           " bytes before the end of what was to be read."),
                      "The file was truncated; restore it or make the dataset again.");
    }
    out = out.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
}

std::size_t RawFile::read_direct(std::uint64_t offset, std::span<std::byte> out) const {
  std::size_t came = 0;
  while (came < out.size()) {
    const ssize_t got =
        ::pread(fd_, &out[came], out.size() - came, static_cast<off_t>(offset + came));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      fail(text("read byte ", offset + came, ", past the system's cache, of"), path_, errno);
    came += static_cast<std::size_t>(got);
    if (got == 0 || came % kDirectUnit != 0) break;
  }
  return came;
}

void RawFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail("write to", path_, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
}

std::uint64_t RawFile::size() const {
  struct stat status {};
  if (::fstat(fd_, &status) != 0) fail("look at", path_, errno);
  return static_cast<std::uint64_t>(status.st_size);
}

void RawFile::require_size(std::uint64_t bytes) const {
  const std::uint64_t found = size();
  if (found == bytes) return;
  throw DataError(text("'", path_.string(), "' has ", found, " bytes, expected ", bytes, "."),
                  "It was truncated or replaced; restore it or make the dataset again.");
}

void RawFile::will_need(std::uint64_t offset, std::uint64_t bytes) const {
  // A hint: whether it is taken makes no difference but to time.
  static_cast<void>(::posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(bytes),
                                    POSIX_FADV_WILLNEED));
}

void RawFile::begin_sync(std::uint64_t offset, std::uint64_t bytes) const {
  static_cast<void>(::sync_file_range(fd_, static_cast<off_t>(offset), static_cast<off_t>(bytes),
                                      SYNC_FILE_RANGE_WRITE));
}

}  // namespace atelier::data
