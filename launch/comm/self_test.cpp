#include "launch/comm/self_test.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <vector>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::comm {
namespace {

constexpr std::array<std::size_t, 4> kCounts{1, 1000, 4099, 1U << 20U};  // 4 B to 4 MiB
constexpr int kRepeats = 5;
constexpr const char* kLabel = "self-test";

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

class Tester {
 public:
  explicit Tester(Comm& comm) : comm_(comm) {}

  // Memory of the device, where there is one.
  void prepare() {
    if (comm_.place() == Place::kHost) return;
    together("take memory of its device", [this] {
      device_ = comm_.allocate(*std::max_element(kCounts.begin(), kCounts.end()) * sizeof(float));
    });
  }

  // Seconds of an all_reduce: median.
  double sum(std::size_t count) {
    std::vector<float> values(count);
    std::vector<double> times;
    together(text("sum ", count, " known values"), [&] {
      std::size_t wrong = count;
      for (int i = 0; i < kRepeats; ++i) {
        fill(values, comm_.rank());
        times.push_back(seconds_of_sum(values));
        wrong = std::min(wrong, first_wrong(values, comm_.world()));
      }
      if (wrong < count) throw DeviceError(text("value ", wrong, " came out wrong."));
    });
    return median(times);
  }

 private:
  // What goes wrong on one rank is thrown on all, so that none goes on alone.
  template <typename Body>
  void together(const std::string& what, const Body& body) {
    std::string fault;
    try {
      body();
    } catch (const DeviceError& error) {
      fault = text(": ", error.what());
    }
    std::int64_t failed = fault.empty() ? comm_.world() : comm_.rank();
    comm_.all_reduce({&failed, 1, DType::kInt64}, ReduceOp::kMin, {.label = kLabel});
    if (failed == comm_.world()) return;
    throw DeviceError(text("Rank ", failed, " of ", comm_.world(), " could not ", what,
                           failed == comm_.rank() ? fault : "."),
                      "Do not train here: look at that rank's host, the network and the memory.");
  }

  double seconds_of_sum(std::vector<float>& values) {
    using Clock = std::chrono::steady_clock;
    const Buffer here{values.data(), values.size(), DType::kFloat32};
    const Buffer there{device_, values.size(), DType::kFloat32, comm_.place()};
    const bool on_device = device_ != nullptr;
    if (on_device) comm_.copy(here, there, {.label = kLabel});
    comm_.barrier({.label = kLabel});
    const auto start = Clock::now();
    comm_.all_reduce(on_device ? there : here, ReduceOp::kSum, {.label = kLabel});
    comm_.synchronize();
    const std::chrono::duration<double> taken = Clock::now() - start;
    if (on_device) comm_.copy(there, here, {.label = kLabel});
    return taken.count();
  }

  Comm& comm_;
  std::byte* device_ = nullptr;
};

}  // namespace

SelfTest self_test(Comm& comm) {
  Tester tester(comm);
  tester.prepare();
  SelfTest result;
  for (const std::size_t count : kCounts) {
    const double seconds = tester.sum(count);
    if (count == kCounts.front()) result.latency_seconds = seconds;
    if (count == kCounts.back()) {
      result.large_bytes = count * sizeof(float);
      result.bytes_per_second = static_cast<double>(result.large_bytes) / seconds;
    }
  }
  return result;
}

}  // namespace atelier::comm
