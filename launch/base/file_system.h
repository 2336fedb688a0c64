// Files as a collaborator: everything that must survive a crash (shards, manifests, checkpoints,
// discovery files) goes through a FileSystem, so that tests can make any single call fail.
// Every call reports failure by IoError with the path and the system's reason; none reports
// success it did not see. Thread safety: a FileSystem may be shared; a WritableFile has one user.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace atelier {

using Path = std::filesystem::path;

/// A file being written. Dropping it without `close()` leaves the file in an unknown state.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual void append(std::span<const std::byte> bytes) = 0;
  /// Returns when the bytes have reached the storage device (fsync).
  virtual void sync() = 0;
  virtual void close() = 0;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  /// Creates a file that must not exist yet.
  [[nodiscard]] virtual std::unique_ptr<WritableFile> create(const Path& path) = 0;
  /// Whole content. Requires: a regular file.
  [[nodiscard]] virtual std::string read(const Path& path) = 0;
  /// Fills `out` from `offset`; a file that ends before is an IoError naming both sizes.
  virtual void read_at(const Path& path, std::uint64_t offset, std::span<std::byte> out) = 0;
  [[nodiscard]] virtual bool exists(const Path& path) = 0;
  [[nodiscard]] virtual std::uint64_t size(const Path& path) = 0;
  /// Names (not paths) in a directory, sorted.
  [[nodiscard]] virtual std::vector<std::string> list(const Path& directory) = 0;
  virtual void create_directories(const Path& path) = 0;
  /// Atomic replacement within one file system.
  virtual void rename(const Path& from, const Path& to) = 0;
  /// As rename, but an existing target is an IoError and stays untouched.
  virtual void rename_new(const Path& from, const Path& to) = 0;
  virtual void remove_all(const Path& path) = 0;
  /// fsync of a file or a directory by path.
  virtual void sync(const Path& path) = 0;
  /// Bytes an ordinary user can still write below `path`.
  [[nodiscard]] virtual std::uint64_t free_bytes(const Path& path) = 0;
};

/// POSIX files.
class LocalFileSystem final : public FileSystem {
 public:
  [[nodiscard]] std::unique_ptr<WritableFile> create(const Path& path) override;
  [[nodiscard]] std::string read(const Path& path) override;
  void read_at(const Path& path, std::uint64_t offset, std::span<std::byte> out) override;
  [[nodiscard]] bool exists(const Path& path) override;
  [[nodiscard]] std::uint64_t size(const Path& path) override;
  [[nodiscard]] std::vector<std::string> list(const Path& directory) override;
  void create_directories(const Path& path) override;
  void rename(const Path& from, const Path& to) override;
  void rename_new(const Path& from, const Path& to) override;
  void remove_all(const Path& path) override;
  void sync(const Path& path) override;
  [[nodiscard]] std::uint64_t free_bytes(const Path& path) override;
};

/// Throws: IoError for a system call that failed with `code` (errno), with what to do where that is
/// known. `attempted`: "write to".
[[noreturn]] void throw_io_error(std::string_view attempted, const Path& path, int code);

/// Writes `content` so that `path` holds either what it held before or all of it: temporary file
/// beside it, fsync, rename, fsync of the directory. A failure leaves no temporary file behind.
/// Requires: one writer per path at a time. Throws: IoError.
void write_atomically(FileSystem& files, const Path& path, std::string_view content);

}  // namespace atelier
