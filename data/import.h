// Images of a folder tree or archive become a dataset. Files are decoded by a few threads into a
// scratch file, then written in shuffled order; the bytes of the result depend on the images and
// the options only, never on threads or timing. Nothing appears under the final name before all of
// it was verified. Thread safety: one import per call; the progress callback runs on the caller's
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/manifest.h"
#include "launch/base/clock.h"
#include "launch/base/file_system.h"

namespace atelier::data {

struct ImageSize {
  int height = 0;
  int width = 0;
};

enum class OnError : std::uint8_t { kFail, kSkip };

struct ImportProgress {
  const char* phase = "";  ///< "decode" or "write"
  std::uint64_t done = 0;
  std::uint64_t total = 0;
};

struct ImportOptions {
  Path source = {};
  Path out = {};
  std::optional<ImageSize> size = {};  ///< unset: all images must have the size of the first one
  std::optional<int> channels = {};    ///< 1 or 3; unset: what most images have
  OnError on_error = OnError::kFail;
  bool shuffle = true;  ///< within each split, so that neighbours on disk are random draws
  std::uint64_t shuffle_seed = 0;
  bool names = true;  ///< keep the file names as a table
  std::uint64_t shard_bytes = 256U << 20U;
  int threads = 2;
  std::function<void(const ImportProgress&)> progress = {};
};

struct SkippedFile {
  std::string name;
  std::string reason;
};

struct ImportReport {
  Manifest manifest;
  std::uint64_t imported = 0;
  std::uint64_t hidden = 0;          ///< files with hidden names, passed over
  std::vector<SkippedFile> skipped;  ///< every other file that was not imported, sorted by name
};

/// Throws: OutputError when `out` exists; DataError naming the first bad file (on_error kFail), or
/// when nothing can be imported; ConfigError; IoError.
ImportReport import_images(FileSystem& files, const Clock& clock, const ImportOptions& options);

}  // namespace atelier::data
