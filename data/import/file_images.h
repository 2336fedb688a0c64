// Images that are files: of a folder tree, of archives. Splits and classes come from dataset.json,
// from labels beside the images, or else from the folders. Thread safety: one user.
#pragma once

#include <memory>

#include "data/import/image_source.h"
#include "data/import/named_files.h"

namespace atelier::data {

/// `name`: of the source, for messages.
[[nodiscard]] std::unique_ptr<ImageSource> make_file_images(std::string name, ListedFiles listed);

}  // namespace atelier::data
