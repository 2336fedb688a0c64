// Where images come from: a folder tree or an archive (zip, tar, tar.gz), seen as named files.
// Nothing is written; names in archives are never used as paths. Thread safety: one user.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "launch/base/file_system.h"

namespace atelier::data {

/// A file met while streaming: its content, or why it could not be read.
struct SourceFile {
  std::string name;
  std::vector<std::byte> content;
  std::string problem;
};

class ImageSource {
 public:
  virtual ~ImageSource() = default;
  /// Names of all files, in the order stream() gives them. Throws: DataError, IoError.
  [[nodiscard]] virtual std::vector<std::string> names() = 0;
  /// Calls `take(position, file)` for each position with `wanted[position]`, in order, until it
  /// returns false. Throws: DataError when the archive itself is damaged; IoError.
  using Take = std::function<bool(std::size_t position, SourceFile file)>;
  virtual void stream(const std::vector<bool>& wanted, const Take& take) = 0;
};

inline constexpr std::size_t kMaxFileBytes = std::size_t{256} << 20U;

/// Throws: DataError when `path` does not exist or is neither a folder nor an archive.
[[nodiscard]] std::unique_ptr<ImageSource> open_source(const Path& path);

}  // namespace atelier::data
