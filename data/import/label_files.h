// Labels that lie in files beside the images: StyleGAN's dataset.json, WebDataset's key.cls and
// key.json. Thread safety: pure functions.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/import/class_folders.h"

namespace atelier::data {

/// {"labels": [["00000/img00000007.png", 6], ...]}, with names from its own folder on, or
/// {"labels": null} where no image has a class. Images it does not list have a problem. Nothing
/// when `list` is about something else. Requires: `list_name` ends in "dataset.json". Throws:
/// DataError when it cannot be read, or labels are no integers.
[[nodiscard]] std::optional<std::vector<PlacedName>> place_by_list(
    const std::vector<std::string>& names, const std::string& list_name, const std::string& list);

/// Texts of files that may hold labels, by name.
using SideTexts = std::map<std::string, std::string>;

/// The files beside an image: "a/0001.jpg" belongs to "a/0001.cls".
[[nodiscard]] std::string sample_key(const std::string& name);

/// A label is the text of key.cls, or what key.json has under "cls", "label" or "class". Images
/// without one have a problem. Nothing when no image has one.
[[nodiscard]] std::optional<std::vector<PlacedName>> place_by_side_files(
    const std::vector<std::string>& names, const SideTexts& texts);

/// Names of classes in order: as numbers where all are, else as texts.
[[nodiscard]] std::vector<std::string> class_order(const std::vector<PlacedName>& placed);

}  // namespace atelier::data
