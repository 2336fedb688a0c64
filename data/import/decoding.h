// The part of an import that reads images: this process decodes its share into scratch. Thread
// safety: one thread; decodes on several.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "data/import/import.h"
#include "data/import/scratch.h"

namespace atelier::data {

/// As they are decoded; the dataset may be grey.
inline constexpr int kScratchChannels = 3;

struct CommonSize {
  ImageSize size = {};
  std::size_t id = 0;  ///< of the image that has it, when none was asked for
};
/// The size that was asked for, or that of the first image that can be decoded; 0 when there is
/// none, or when a strict import meets a bad one first. The same in every process. Throws:
/// DataError when an archive is damaged; IoError.
[[nodiscard]] CommonSize size_of_images(const ImportOptions& options, ImageSource& source,
                                        const std::vector<bool>& wanted);

class Decoding {
 public:
  /// `first`: name of the image whose size all must have. Lifetime: all outlive it.
  Decoding(const ImportOptions& options, const ImageSize& size, std::string first, Scratch& scratch)
      : options_(options), size_(size), first_(std::move(first)), scratch_(scratch) {}

  /// Decodes the images with `wanted[id]`, and keeps them if there is a size. With on_error kFail
  /// it stops at the first bad one. Throws: IoError, DataError.
  void run(ImageSource& source, const std::vector<bool>& wanted);

  /// Why an image could not be decoded, by id.
  [[nodiscard]] const std::map<std::uint64_t, std::string>& problems() const { return problems_; }

 private:
  void decode(std::size_t id, const SourceImage& image, Scratch::Rows& rows);
  [[nodiscard]] std::string store(std::size_t id, const SourceImage& source, const Image& image,
                                  Scratch::Rows& rows);

  const ImportOptions& options_;
  ImageSize size_;
  std::string first_;
  Scratch& scratch_;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;
  std::map<std::uint64_t, std::string> problems_;  // guarded by mutex_ while threads run
};

/// Begins the problem of an image of another size than the first.
inline constexpr std::string_view kOtherSize = "it has ";

}  // namespace atelier::data
