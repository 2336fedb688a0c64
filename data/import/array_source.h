// Images among arrays of numbers: which arrays hold images, which their labels, how axes lie and
// what range the values have is found out, or told. Thread safety: one user.
#pragma once

#include <memory>

#include "data/import/array_file.h"
#include "data/import/image_source.h"

namespace atelier::data {

/// Images are arrays of three axes [N, H, W] or four, [N, H, W, C] or [N, C, H, W] with C = 1 or 3.
/// Their values: 0 to 255; truth values or only 0 and 1, which become black and white; decimals
/// within [0, 1] or [-1, 1]. Splits come from the words test (or t10k) and val in names. `name`: of
/// the source, for messages.
[[nodiscard]] std::unique_ptr<ImageSource> make_array_source(std::string name,
                                                             std::unique_ptr<ArrayFile> file,
                                                             ArrayChoice choice);

}  // namespace atelier::data
