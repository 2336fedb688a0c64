// Which bucket size leaves the least to wait for after a backward, given when each gradient is
// ready and how fast ranks sum. No torch. Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <span>

namespace atelier::engine {

/// Time of a sum over ranks: latency + bytes / bytes_per_second.
struct SumSpeed {
  double latency_seconds = 0;
  double bytes_per_second = 0;
  [[nodiscard]] double seconds(double bytes) const {
    return latency_seconds + bytes / bytes_per_second;
  }
};

struct ReadyGradient {
  double seconds = 0;  ///< after the start of the backward
  double bytes = 0;    ///< in what travels
};

/// Gradients of one backward, in the order in which buckets are filled.
using ReadyGradients = std::span<const ReadyGradient>;

/// How long after the last gradient the last sum ends, when buckets of at least `bucket_bytes` are
/// summed one after the other, each as soon as it is complete. Units: seconds.
[[nodiscard]] double exposed_seconds(ReadyGradients gradients, std::int64_t bucket_bytes,
                                     const SumSpeed& speed);

/// The power of two from 256 KiB to 64 MiB that leaves the least exposed in all backwards together;
/// the larger one where it makes no difference.
[[nodiscard]] std::int64_t best_bucket_bytes(std::span<const ReadyGradients> backwards,
                                             const SumSpeed& speed);

}  // namespace atelier::engine
