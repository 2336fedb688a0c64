// A file that is memory at the same time: state that a process keeps as it works, and that others
// read after it is dead. A store costs no system call; what was stored outlives the process, and
// after `sync` the machine. Thread safety: like the memory.
#pragma once

#include <cstddef>
#include <span>

#include "launch/base/file_system.h"

namespace atelier {

class MappedFile {
 public:
  /// A file of this content, whole from the moment it has its name; one of the name before it is
  /// replaced, and whoever reads that goes on with it. Missing folders are made. Every block is
  /// allocated now, since a store to a hole of a full disk would end the process (SIGBUS).
  /// Requires: content that is not empty; one writer per path. Throws: IoError.
  MappedFile(const Path& path, std::span<const std::byte> content);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  /// As long as the content.
  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }
  /// Returns when all that was stored has reached the storage device. Throws: IoError.
  void sync() const;

 private:
  Path path_;
  std::span<std::byte> bytes_;
};

}  // namespace atelier
