// Bytes of an open file by offset (pread, pwrite): safe where a mapping would raise SIGBUS, as on a
// file truncated or a disk failing under us. Thread safety: calls on one file may run at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "launch/base/file_system.h"

namespace atelier::data {

class RawFile {
 public:
  enum class Mode : std::uint8_t { kRead, kReadDirect, kWrite, kScratch };
  /// Of direct reads: offsets, sizes and memory are multiples of it.
  static constexpr std::size_t kDirectUnit = 4096;
  /// kReadDirect: past the system's cache; not every file system can. kWrite: the file exists.
  /// kScratch: made new, read and written. Throws: IoError.
  RawFile(Path path, Mode mode);
  ~RawFile();
  RawFile(RawFile&& other) noexcept;
  RawFile& operator=(RawFile&&) = delete;
  RawFile(const RawFile&) = delete;
  RawFile& operator=(const RawFile&) = delete;

  /// Throws: IoError; DataError when the file ends before.
  void read_at(std::uint64_t offset, std::span<std::byte> out) const;
  /// Requires: kReadDirect. Returns the bytes that came: fewer only where the file ends. Throws:
  /// IoError.
  [[nodiscard]] std::size_t read_direct(std::uint64_t offset, std::span<std::byte> out) const;
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes) const;
  [[nodiscard]] std::uint64_t size() const;
  /// Throws: DataError when the file has another size.
  void require_size(std::uint64_t bytes) const;
  /// Asks the system to bring bytes into its cache; returns at once.
  void will_need(std::uint64_t offset, std::uint64_t bytes) const;
  /// Asks the system to bring bytes to the disk; returns at once. A later sync then waits less.
  void begin_sync(std::uint64_t offset, std::uint64_t bytes) const;
  /// For system calls that are not made here. Lifetime: that of the file.
  [[nodiscard]] int handle() const { return fd_; }
  [[nodiscard]] const Path& path() const { return path_; }

 private:
  Path path_;
  int fd_;
};

}  // namespace atelier::data
