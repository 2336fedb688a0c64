// Real GPUs for tests of label gpu. Thread safety: pure functions.
#pragma once

#include <string>

namespace atelier::tests {

/// Exit code of a test program that cannot test anything here; CTest tells such a test as skipped.
inline constexpr int kSkipped = 78;

/// Why no test on a GPU can run here: the build has no CUDA, or no device answers. Empty when it
/// can.
[[nodiscard]] std::string why_no_gpu();

/// GPUs that answer.
[[nodiscard]] int gpus();

}  // namespace atelier::tests
