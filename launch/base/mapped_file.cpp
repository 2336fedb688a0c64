#include "launch/base/mapped_file.h"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "launch/base/error.h"

namespace atelier {
namespace {

std::span<std::byte> map_new(const Path& path, std::size_t size) {
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) throw_io_error("create", path, errno);
  const int full = ::posix_fallocate(file, 0, static_cast<off_t>(size));
  void* mapped =
      full == 0 ? ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
  const int error = full != 0 ? full : errno;
  ::close(file);
  if (mapped == MAP_FAILED) {
    ::unlink(path.c_str());
    throw_io_error(full != 0 ? "allocate" : "map", path, error);
  }
  return {static_cast<std::byte*>(mapped), size};
}

}  // namespace

MappedFile::MappedFile(const Path& path, std::span<const std::byte> content) : path_(path) {
  ATELIER_CHECK(!content.empty(), "an empty file cannot be mapped");
  std::error_code ignored;  // opening tells
  std::filesystem::create_directories(path.parent_path(), ignored);
  const Path unnamed = path.string() + ".new";
  bytes_ = map_new(unnamed, content.size());
  std::copy(content.begin(), content.end(), bytes_.begin());
  if (::rename(unnamed.c_str(), path.c_str()) == 0) return;
  const int error = errno;
  ::munmap(bytes_.data(), bytes_.size());
  ::unlink(unnamed.c_str());
  throw_io_error("replace", path, error);
}

MappedFile::~MappedFile() { ::munmap(bytes_.data(), bytes_.size()); }

void MappedFile::sync() const {
  if (::msync(bytes_.data(), bytes_.size(), MS_SYNC) != 0) throw_io_error("sync", path_, errno);
  LocalFileSystem().sync(path_.parent_path());  // the name too
}

}  // namespace atelier
