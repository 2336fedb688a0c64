// A dataset for other programs: PNG files in class folders, or NumPy arrays. Thread safety: pure
// functions.
#pragma once

#include <cstdint>

#include "data/dataset.h"

namespace atelier::data {

/// OUT/train/CLASS/00000042.png by id; importing that folder gives the same images and classes.
/// Returns the number of images. Throws: OutputError when it exists; DataError when `dataset` is
/// damaged; IoError.
std::uint64_t export_folder(FileSystem& files, const Dataset& dataset, const Path& out);

/// One .npz: train_images [N, H, W, C] (grey: [N, H, W]) and train_labels [N], likewise valid and
/// test; class_names. As above.
std::uint64_t export_npz(FileSystem& files, const Dataset& dataset, const Path& out);

}  // namespace atelier::data
