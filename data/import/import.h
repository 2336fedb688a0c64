// Images of any source become a dataset. They are decoded by a few threads of one or more processes
// into scratch files, then written in shuffled order; the bytes of the result depend on the images
// and the options only, never on threads, processes or timing. Nothing appears under the final name
// before all of it was verified; an import that was killed goes on where it was. Thread safety: one
// import per call; the progress callback runs on the caller's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/import/crew.h"
#include "data/import/image_source.h"
#include "data/manifest.h"
#include "data/packing.h"
#include "launch/base/clock.h"
#include "launch/base/file_system.h"

namespace atelier::data {

struct ImageSize {
  int height = 0;
  int width = 0;
};

/// Units: percent of all images; train has the rest.
struct SplitShares {
  int valid = 0;
  int test = 0;
};

struct ImportProgress {
  const char* phase = "";  ///< "decode" or "write"
  std::uint64_t done = 0;
  std::uint64_t total = 0;
};

struct ImportOptions {
  Path source = {};
  Path out = {};
  ArrayChoice arrays = {};
  std::optional<ImageSize> size = {};  ///< unset: all images must have the size of the first one
  Packing packing = {};
  std::optional<int> channels = {};        ///< 1 or 3; unset: what most images have
  std::optional<SplitShares> shares = {};  ///< by hash of the id; unset: the source's own splits
  std::uint64_t limit = 0;                 ///< images, drawn by the seed; 0: all
  bool mirror = false;                     ///< each training image also with left and right swapped
  OnError on_error = OnError::kFail;
  bool shuffle = true;  ///< within each split, so that neighbours on disk are random draws
  std::uint64_t shuffle_seed = 0;
  bool names = true;  ///< keep the file names as a table, where they tell something
  std::uint64_t shard_bytes = 256U << 20U;
  int threads = 2;
  std::function<void(const ImportProgress&)> progress = {};
};

struct ImportReport {
  Manifest manifest;
  std::uint64_t imported = 0;
  std::uint64_t kept = 0;    ///< images that a killed import had decoded
  std::uint64_t hidden = 0;  ///< files with hidden names, passed over
  std::vector<SkippedFile> skipped =
      {};                               ///< every other file that was not imported, sorted by name
  std::vector<std::string> notes = {};  ///< what was taken for what
};

/// Collective: all ranks of `crew`, with the same options, source and output, see one file system.
/// The same report on all of them. Throws, alike on all: OutputError when `out` exists or there is
/// no room; DataError naming the first bad file (on_error kFail), or when nothing can be imported;
/// ConfigError; IoError.
ImportReport import_images(FileSystem& files, const Clock& clock, const ImportOptions& options,
                           Crew& crew);
ImportReport import_images(FileSystem& files, const Clock& clock, const ImportOptions& options);

}  // namespace atelier::data
