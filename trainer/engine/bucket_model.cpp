#include "trainer/engine/bucket_model.h"

#include <algorithm>

namespace atelier::engine {
namespace {

constexpr std::int64_t kSmallest = std::int64_t{256} << 10;
constexpr std::int64_t kLargest = std::int64_t{64} << 20;
constexpr double kNoDifference = 1e-6;

}  // namespace

double exposed_seconds(ReadyGradients gradients, std::int64_t bucket_bytes, const SumSpeed& speed) {
  double ready = 0;
  double done = 0;
  double bytes = 0;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    ready = std::max(ready, gradients[i].seconds);
    bytes += gradients[i].bytes;
    const bool complete = bytes >= static_cast<double>(bucket_bytes) || i + 1 == gradients.size();
    if (!complete) continue;
    done = std::max(done, ready) + speed.seconds(bytes);
    bytes = 0;
  }
  return done - ready;
}

std::int64_t best_bucket_bytes(std::span<const ReadyGradients> backwards, const SumSpeed& speed) {
  std::int64_t best = kLargest;
  double least = -1;
  for (std::int64_t bytes = kLargest; bytes >= kSmallest; bytes /= 2) {
    double exposed = 0;
    for (const ReadyGradients gradients : backwards) {
      exposed += exposed_seconds(gradients, bytes, speed);
    }
    if (least >= 0 && exposed > least - kNoDifference) continue;
    least = exposed;
    best = bytes;
  }
  return best;
}

}  // namespace atelier::engine
