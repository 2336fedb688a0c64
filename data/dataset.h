// A dataset folder, opened: its manifest read and checked, and every shard present with its full
// size. Pixels are read by Reader and Loader. Thread safety: immutable.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/layout.h"
#include "data/manifest.h"
#include "launch/base/file_system.h"

namespace atelier::data {

class Dataset {
 public:
  /// Throws: DataError when there is no dataset, the manifest is damaged or of a newer format, or a
  /// shard is missing or truncated; IoError when something cannot be read.
  [[nodiscard]] static Dataset open(FileSystem& files, const Path& folder);

  [[nodiscard]] const ImageShape& shape() const { return manifest_.shape; }
  [[nodiscard]] std::uint64_t size(Split split) const;
  /// Hash of the content, 16 hex digits; equal content has equal ids wherever it lies.
  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] std::uint64_t id_hash() const;  ///< the same as a number
  [[nodiscard]] const std::vector<std::string>& class_names() const {
    return manifest_.class_names;
  }
  /// Per channel over train, from integer sums. Units: pixel values 0 to 255.
  [[nodiscard]] std::vector<double> mean() const;
  [[nodiscard]] std::vector<double> stddev() const;

  [[nodiscard]] const Manifest& manifest() const { return manifest_; }
  [[nodiscard]] const Path& folder() const { return folder_; }

 private:
  Dataset(Path folder, Manifest manifest);
  Path folder_;
  Manifest manifest_;
  std::string id_;
};

}  // namespace atelier::data
