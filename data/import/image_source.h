// Where images come from. A source first lists what it holds, then gives image after image; what
// kind of source a path is, its content tells. Thread safety: one user.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/image_codec.h"
#include "data/layout.h"
#include "launch/base/file_system.h"

namespace atelier::data {

enum class OnError : std::uint8_t { kFail, kSkip };

struct SkippedFile {
  std::string name;
  std::string reason;
};

struct SourceItem {
  std::string name = {};
  Split split = Split::kTrain;
  std::int64_t label = 0;    ///< index into the listing's class names
  std::string problem = {};  ///< why it cannot be imported; empty: it can
};

struct Listing {
  std::vector<SourceItem> items = {};  ///< index = id
  std::vector<std::string> class_names = {};
  bool has_names = true;                  ///< those of the items tell something
  std::uint64_t hidden = 0;               ///< files with hidden names, passed over
  std::vector<SkippedFile> skipped = {};  ///< whatever else is there
  std::vector<std::string> notes = {};    ///< what was taken for what, in words
};

/// An image as it is met: a file's bytes, or pixels, or why there are none.
struct SourceImage {
  std::vector<std::byte> file = {};
  std::optional<Image> pixels = {};
  std::string problem = {};
};

class ImageSource {
 public:
  virtual ~ImageSource() = default;
  /// Throws: DataError naming what cannot be imported, when `on_error` says so or nothing can;
  /// IoError.
  [[nodiscard]] virtual Listing list(OnError on_error) = 0;
  /// Calls `take` for each id with `wanted[id]`, in the source's own order, until it returns false.
  /// Requires: list() was called. Throws: DataError when an archive itself is damaged; IoError.
  using Take = std::function<bool(std::size_t id, SourceImage image)>;
  virtual void stream(const std::vector<bool>& wanted, const Take& take) = 0;
};

inline constexpr std::size_t kMaxFileBytes = std::size_t{256} << 20U;

/// What an array file does not tell by itself; empty: found out, if there is but one choice.
struct ArrayChoice {
  std::string images = {};  ///< name of an array
  std::string labels = {};  ///< name of an array; "NAME:K" is its column K
};

/// Throws: DataError when `path` does not exist, or is nothing that is read here; IoError.
[[nodiscard]] std::unique_ptr<ImageSource> open_source(const Path& path,
                                                       const ArrayChoice& choice = {});

}  // namespace atelier::data
