// What one checkpoint holds, as views of the caller's memory, and how it becomes files: the same
// contents give the same bytes, whoever writes them and when. Whoever wants to go on computing
// while the files are written copies its tensors and hands out views of the copy. Thread safety:
// values; write_contents may run on any thread while the viewed memory is unchanged.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoints/manifest.h"
#include "checkpoints/safetensors.h"
#include "checkpoints/tensor.h"
#include "launch/base/file_system.h"

namespace atelier::checkpoints {

struct NamedFile {
  std::string name;  ///< "model.safetensors": a plain name with that ending
  std::vector<TensorView> tensors;
  Metadata metadata;  ///< no clock, host or run id: equal states have equal bytes
};

/// Lifetime: the viewed memory stays as it is until the save has returned.
struct Contents {
  std::int64_t step = 0;
  std::vector<NamedFile> files;
  std::string state_json;
};

/// Contents laid out, ready to be hashed or written. Throws: InternalError when names or sizes do
/// not fit together (a defect of the caller). Lifetime: as of `contents`, which it refers to.
class Layout {
 public:
  Layout(const Contents& contents, std::uint64_t chunk_bytes);
  [[nodiscard]] std::uint64_t bytes() const;
  /// The manifest these contents would get, without writing anything.
  [[nodiscard]] Manifest manifest() const;
  /// Writes every file into `directory`, which exists, and syncs each; hashes on the way.
  /// Throws: IoError. The manifest itself is not written.
  [[nodiscard]] Manifest write(FileSystem& files, const Path& directory) const;

 private:
  [[nodiscard]] Manifest hash_and_write(FileSystem* files, const Path& directory) const;

  const Contents& contents_;
  std::uint64_t chunk_bytes_;
  std::vector<SafetensorsImage> images_;
};

}  // namespace atelier::checkpoints
