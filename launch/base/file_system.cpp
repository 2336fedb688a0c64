#include "launch/base/file_system.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier {

void throw_io_error(std::string_view attempted, const Path& path, int code) {
  std::string_view next;
  if (code == ENOSPC || code == EDQUOT) next = "Free some space or choose another folder.";
  if (code == EACCES || code == EPERM || code == EROFS) next = "Check the permissions.";
  throw IoError(text("Cannot ", attempted, " '", path.string(),
                     "': ", std::generic_category().message(code), "."),
                next);
}

namespace {

/// Owns a file descriptor.
class Descriptor {
 public:
  Descriptor(const Path& path, int flags, std::string_view attempted)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (fd_ < 0) throw_io_error(attempted, path, errno);
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

class LocalFile final : public WritableFile {
 public:
  explicit LocalFile(Path path)
      : path_(std::move(path)), fd_(path_, O_WRONLY | O_CREAT | O_EXCL, "create") {}

  void append(std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) throw_io_error("write to", path_, written < 0 ? errno : ENOSPC);
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }
  void sync() override {
    if (::fsync(fd_.get()) != 0) throw_io_error("sync", path_, errno);
  }
  void close() override {
    if (::close(fd_.release()) != 0) throw_io_error("close", path_, errno);
  }

 private:
  Path path_;
  Descriptor fd_;
};

void read_exactly(const Descriptor& fd, const Path& path, std::uint64_t offset,
                  std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got =
        ::pread(fd.get(), out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_io_error("read", path, errno);
    if (got == 0) {
      throw IoError(text("Cannot read '", path.string(), "': it ends at or before byte ",
                         offset + done, ", but ", offset + out.size(), " bytes were expected."));
    }
    done += static_cast<std::size_t>(got);
  }
}

/// Runs one std::filesystem call and turns its error code into an IoError.
template <typename Call>
auto checked(std::string_view attempted, const Path& path, Call call) {
  std::error_code code;
  auto result = call(code);
  if (code) throw_io_error(attempted, path, code.value());
  return result;
}

}  // namespace

std::unique_ptr<WritableFile> LocalFileSystem::create(const Path& path) {
  return std::make_unique<LocalFile>(path);
}

std::string LocalFileSystem::read(const Path& path) {
  const Descriptor fd(path, O_RDONLY, "open");
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw_io_error("read the size of", path, errno);
  if (S_ISDIR(status.st_mode)) throw_io_error("read", path, EISDIR);
  if (!S_ISREG(status.st_mode)) {
    throw IoError(text("Cannot read '", path.string(), "': it is no regular file."));
  }
  std::string content(static_cast<std::size_t>(status.st_size), '\0');
  read_exactly(fd, path, 0, std::as_writable_bytes(std::span(content)));
  return content;
}

void LocalFileSystem::read_at(const Path& path, std::uint64_t offset, std::span<std::byte> out) {
  read_exactly(Descriptor(path, O_RDONLY, "open"), path, offset, out);
}

bool LocalFileSystem::exists(const Path& path) {
  return checked("look at", path, [&](std::error_code& code) {
    const auto status = std::filesystem::symlink_status(path, code);
    if (status.type() == std::filesystem::file_type::not_found) code.clear();
    return std::filesystem::exists(status);
  });
}

std::uint64_t LocalFileSystem::size(const Path& path) {
  return checked("read the size of", path, [&](std::error_code& code) {
    return static_cast<std::uint64_t>(std::filesystem::file_size(path, code));
  });
}

std::vector<std::string> LocalFileSystem::list(const Path& directory) {
  std::vector<std::string> names;
  auto entry = checked("list", directory, [&](std::error_code& code) {
    return std::filesystem::directory_iterator(directory, code);
  });
  while (entry != std::filesystem::directory_iterator()) {
    names.push_back(entry->path().filename().string());
    checked("list", directory, [&](std::error_code& code) { return entry.increment(code); });
  }
  std::sort(names.begin(), names.end());
  return names;
}

void LocalFileSystem::create_directories(const Path& path) {
  checked("create the folder", path,
          [&](std::error_code& code) { return std::filesystem::create_directories(path, code); });
}

void LocalFileSystem::rename(const Path& from, const Path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    throw_io_error(text("rename '", from.string(), "' to"), to, errno);
}

void LocalFileSystem::rename_new(const Path& from, const Path& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return;
  const int code = errno;
  // NFS and some parallel file systems lack the flag: there the target is looked for just before.
  const bool lacks_flag = code == EINVAL || code == ENOSYS;
  if (lacks_flag && !exists(to)) return rename(from, to);
  throw_io_error(text("rename '", from.string(), "' to"), to, lacks_flag ? EEXIST : code);
}

void LocalFileSystem::remove_all(const Path& path) {
  checked("remove", path,
          [&](std::error_code& code) { return std::filesystem::remove_all(path, code); });
}

void LocalFileSystem::sync(const Path& path) {
  const Descriptor fd(path, O_RDONLY, "open");
  if (::fsync(fd.get()) == 0) return;
  const int code = errno;
  // Some network file systems cannot sync a folder and say EINVAL; they keep names safe themselves.
  if (code == EINVAL && std::filesystem::is_directory(path)) return;
  throw_io_error("sync", path, code);
}

std::uint64_t LocalFileSystem::free_bytes(const Path& path) {
  struct statvfs status {};
  if (::statvfs(path.c_str(), &status) != 0) throw_io_error("read the free space of", path, errno);
  return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

void write_atomically(FileSystem& files, const Path& path, std::string_view content) {
  const Path directory = path.has_parent_path() ? path.parent_path() : Path(".");
  const Path temporary = directory / text(".tmp-", path.filename().string(), "-", ::getpid());
  try {
    files.remove_all(temporary);  // left by a killed process with our process id
    const auto file = files.create(temporary);
    file->append(std::as_bytes(std::span(content)));
    file->sync();
    file->close();
    files.rename(temporary, path);
  } catch (...) {
    try {
      files.remove_all(temporary);
    } catch (const IoError&) {  // NOLINT(bugprone-empty-catch): the first error is the one to tell
    }
    throw;
  }
  files.sync(directory);
}

}  // namespace atelier
