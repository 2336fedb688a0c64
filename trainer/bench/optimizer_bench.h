// How fast the update of the weights is here: beside what memory can do, and beside PyTorch's fused
// Adam with a separate average. Thread safety: one thread per rank.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace atelier::bench {

struct OptimizerBenchOptions {
  std::int64_t parameters = 20'000'000;
  std::int64_t tensors = 100;
  std::size_t rounds = 15;
};

/// On this rank alone. Both updates are compared first: they must agree to 1e-6. Returns one JSON
/// document. Throws: DeviceError when they do not.
[[nodiscard]] std::string optimizer_bench(const OptimizerBenchOptions& options);

[[nodiscard]] std::string optimizer_bench_text(const std::string& json);

}  // namespace atelier::bench
