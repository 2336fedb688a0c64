#include "launch/comm/self_test.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::comm {
namespace {

constexpr std::array<std::size_t, 4> kCounts{1, 1000, 4099, 1U << 20U};  // 4 B to 4 MiB
constexpr int kRepeats = 5;

// Small whole numbers: their sum is exact in any order, on up to 60,000 ranks.
int of_rank(int rank) { return rank % 7; }
int of_element(std::size_t element) { return static_cast<int>(element % 251); }

void fill(std::vector<float>& values, int rank) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(of_element(i) + of_rank(rank));
  }
}

// The first element whose sum is wrong; values.size() when there is none.
std::size_t first_wrong(const std::vector<float>& values, int world) {
  int ranks = 0;
  for (int rank = 0; rank < world; ++rank) ranks += of_rank(rank);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] != static_cast<float>(world * of_element(i) + ranks)) return i;
  }
  return values.size();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

SelfTest self_test(Comm& comm) {
  using Clock = std::chrono::steady_clock;
  SelfTest result;
  for (const std::size_t count : kCounts) {
    std::vector<float> values(count);
    std::vector<double> times;
    std::size_t wrong = count;
    for (int i = 0; i < kRepeats; ++i) {
      fill(values, comm.rank());
      comm.barrier({.label = "self-test"});
      const auto start = Clock::now();
      comm.all_reduce({values.data(), count, DType::kFloat32}, ReduceOp::kSum,
                      {.label = "self-test"});
      times.push_back(std::chrono::duration<double>(Clock::now() - start).count());
      wrong = std::min(wrong, first_wrong(values, comm.world()));
    }
    // Every rank learns of it, so that none goes on alone.
    std::array<std::int64_t, 1> failed{wrong < count ? comm.rank() : comm.world()};
    comm.all_reduce({failed.data(), 1, DType::kInt64}, ReduceOp::kMin, {.label = "self-test"});
    if (failed[0] < comm.world()) {
      throw DeviceError(text("A sum over ", comm.world(), " ranks of ", count,
                             " known values came out wrong on rank ", failed[0], "."),
                        "Do not train here: look at the network, the memory and the MPI library.");
    }
    if (count == kCounts.front()) result.latency_seconds = median(times);
    if (count == kCounts.back()) {
      result.large_bytes = count * sizeof(float);
      result.bytes_per_second = static_cast<double>(result.large_bytes) / median(times);
    }
  }
  return result;
}

}  // namespace atelier::comm
