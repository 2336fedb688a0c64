// What differs between two checkpoints: used by tests that promise equal states and by people who
// ask which tensors a step changed. Thread safety: pure functions over a FileSystem.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoints/tensor.h"
#include "launch/base/file_system.h"

namespace atelier::checkpoints {

struct Difference {
  std::string file;
  std::string tensor;          ///< empty: the file as a whole
  std::string what;            ///< for people
  std::uint64_t elements = 0;  ///< that differ in their bits
  double max_abs = 0;          ///< largest |a - b|; NaN when one of the two is NaN
};

/// Both tensors have one type and shape (checked). `what` is empty when every bit is equal.
[[nodiscard]] Difference compare(const TensorData& a, const TensorData& b);

/// Every tensor that differs, then state.json when it does; empty when both hold the same. Holds
/// two tensors in memory. Throws: CheckpointError, IoError.
[[nodiscard]] std::vector<Difference> diff(FileSystem& files, const Path& a, const Path& b);

}  // namespace atelier::checkpoints
