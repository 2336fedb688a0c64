// From the names of files to splits and classes: train, valid (val, validation) and test folders
// are splits, the folder below is the class; without such folders all is train. One wrapping folder
// around everything is ignored. Names are only names: nothing is ever opened through them. Thread
// safety: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/layout.h"

namespace atelier::data {

enum class NameKind : std::uint8_t { kImage, kOtherImage, kOther, kHidden };
/// By extension and by hidden parts (".DS_Store", "__MACOSX/…").
[[nodiscard]] NameKind kind_of_name(const std::string& name);

struct PlacedName {
  Split split = Split::kTrain;
  std::string class_name;
  std::string problem;  ///< not empty: the file belongs to no split
};

/// One result per name, in the same order. Requires: names of images.
[[nodiscard]] std::vector<PlacedName> place_names(const std::vector<std::string>& names);

/// Where the name of a shard of a larger set ("train-00012/...") says it, or its folder.
[[nodiscard]] Split split_of_shard(const std::string& name);

/// In lower case, with its dot: ".jpg"; empty when there is none.
[[nodiscard]] std::string extension_of(const std::string& name);
[[nodiscard]] std::string lower(std::string word);

inline constexpr const char* kNoClass = "images";  ///< of images without a class

/// Valid UTF-8 without control characters; what is neither becomes '?'.
[[nodiscard]] std::string clean_text(const std::string& raw);

}  // namespace atelier::data
