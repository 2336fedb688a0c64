// The hidden folder that a dataset grows in, until it appears under its name by one rename. Thread
// safety: one thread each; two for one target exclude each other by a lock.
#pragma once

#include <string>

#include "launch/base/file_system.h"

namespace atelier::data {

/// A hidden folder `.NAME.partial` beside `target`, locked while this lives, removed unless
/// published. What a killed process left there stays if it was made for the same `purpose`, a text
/// that is kept in the folder. Throws: OutputError when the target exists, is locked, or cannot be
/// created; IoError.
class StagingFolder {
 public:
  StagingFolder(FileSystem& files, const Path& target, const std::string& purpose = "");
  ~StagingFolder();
  StagingFolder(const StagingFolder&) = delete;
  StagingFolder& operator=(const StagingFolder&) = delete;
  [[nodiscard]] const Path& path() const { return path_; }
  /// Renames to the target and makes the rename last. Throws: OutputError, IoError.
  void publish();

 private:
  /// flock of a folder, given back by the end of the object (or of the process).
  class Lock {
   public:
    ~Lock();
    Lock() = default;
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    /// Returns false when another process holds it. Throws: OutputError.
    [[nodiscard]] bool take(const Path& folder);

   private:
    int fd_ = -1;
  };
  FileSystem& files_;
  Path target_;
  Path path_;
  Lock lock_;
  bool published_ = false;
};

}  // namespace atelier::data
