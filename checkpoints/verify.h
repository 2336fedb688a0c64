// Reading a checkpoint without trusting it: the manifest by its own hash, each file by its size and
// the hash of every chunk, each header by the rules of the tensor format. What is wrong is named
// with its file and offset. Thread safety: pure functions over a FileSystem.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoints/manifest.h"
#include "checkpoints/safetensors.h"
#include "launch/base/file_system.h"

namespace atelier::checkpoints {

struct LoadedFile {
  std::string name;
  SafetensorsFile content;
};

/// A checkpoint whose every byte was checked.
struct Loaded {
  Path directory;
  std::int64_t step = 0;
  std::uint64_t bytes = 0;
  std::string state_json;
  std::vector<LoadedFile> files;
  std::uint64_t manifest_hash = 0;  ///< equal for equal checkpoints

  [[nodiscard]] bool has(std::string_view file) const;
  /// Throws: CheckpointError when the checkpoint has no such file.
  [[nodiscard]] const SafetensorsFile& file(std::string_view name) const;
};

/// Reads and checks everything. Throws: CheckpointError (damage: file, offset, reason),
/// ConfigError (newer format), IoError (could not be read; says nothing about its content).
[[nodiscard]] Loaded read_checkpoint(FileSystem& files, const Path& directory);

struct VerifyReport {
  Path directory;
  std::int64_t step = -1;  ///< -1: the manifest could not be read
  std::uint64_t bytes = 0;
  std::vector<std::string> faults;  ///< all of them, each with file and offset
  [[nodiscard]] bool ok() const { return faults.empty(); }
};

/// As read_checkpoint, but goes on after a fault, keeps nothing in memory and never throws on bad
/// content or files that cannot be read.
[[nodiscard]] VerifyReport verify(FileSystem& files, const Path& directory);

/// True when `path` looks like a checkpoint: a folder with a manifest. Throws: IoError.
[[nodiscard]] bool is_checkpoint(FileSystem& files, const Path& path);

/// "step-0000012000".
[[nodiscard]] std::string step_name(std::int64_t step);
/// The step of such a name; -1 for any other name.
[[nodiscard]] std::int64_t step_of(std::string_view name);

}  // namespace atelier::checkpoints
