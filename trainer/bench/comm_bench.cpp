#include "trainer/bench/comm_bench.h"

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include <nlohmann/json.hpp>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "trainer/bench/timing.h"

namespace atelier::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::size_t, 5> kSizes{4, 64 << 10, 1 << 20, 7 << 20, 32 << 20};
constexpr std::size_t kRounds = 51;
constexpr std::size_t kBytesInARow = 1 << 18;  // small sums are timed many in a row

void sum(comm::Comm& comm, std::span<float> values) {
  comm.all_reduce({values.data(), values.size(), comm::DType::kFloat32}, comm::ReduceOp::kSum,
                  {.label = "benchmark"});
}

void verify(comm::Comm& comm, std::span<float> values) {
  const auto world = static_cast<float>(comm.world());
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i % 1000) + static_cast<float>(comm.rank());
  }
  sum(comm, values);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] == world * static_cast<float>(i % 1000) + world * (world - 1) / 2) continue;
    throw DeviceError(text("Element ", i, " of ", values.size(), " came out as ", values[i], "."),
                      "Do not train here: look at the network, the memory and the MPI library.");
  }
  std::fill(values.begin(), values.end(), 0.0F);  // zeros stay finite over any number of sums
}

// Microseconds of one sum, on the slowest rank.
Quantiles time_of(comm::Comm& comm, std::span<float> values) {
  const std::size_t in_a_row = std::clamp<std::size_t>(kBytesInARow / values.size_bytes(), 1, 1000);
  std::vector<double> micros;
  for (std::size_t round = 0; round < kRounds; ++round) {
    comm.barrier({.label = "benchmark"});
    double mine = 1e6 * seconds_of([&] {
                    for (std::size_t i = 0; i < in_a_row; ++i) sum(comm, values);
                  });
    comm.all_reduce({&mine, 1, comm::DType::kFloat64}, comm::ReduceOp::kMax,
                    {.label = "benchmark"});
    micros.push_back(mine / static_cast<double>(in_a_row));
  }
  return quantiles(micros);
}

Json to_json(const Quantiles& micros) {
  return {{"median", micros.median}, {"tenth", micros.tenth}, {"ninetieth", micros.ninetieth}};
}

}  // namespace

std::string comm_bench(comm::Comm& comm) {
  Json rows = Json::array();
  for (const std::size_t bytes : kSizes) {
    const std::size_t count = bytes / sizeof(float);
    std::vector<float> plain(count);
    const std::span<float> allocated(reinterpret_cast<float*>(comm.allocate(bytes)), count);
    verify(comm, plain);
    verify(comm, allocated);
    rows.push_back({{"bytes", bytes},
                    {"microseconds", to_json(time_of(comm, plain))},
                    {"allocated_microseconds", to_json(time_of(comm, allocated))}});
  }
  const Json result{{"bench", "comm"},
                    {"ranks", comm.world()},
                    {"hosts", comm.hosts()},
                    {"backend", std::string(comm.backend())},
                    {"all_reduce", rows}};
  return result.dump(1) + "\n";
}

std::string comm_bench_text(const std::string& json) {
  const Json result = Json::parse(json);
  std::string lines =
      text("all_reduce between ", result.at("ranks").get<int>(), " rank(s) on ",
           result.at("hosts").get<int>(), " host(s), ", result.at("backend").get<std::string>(),
           "; median, in microseconds\n  any memory  allocated  bytes\n");
  for (const Json& row : result.at("all_reduce")) {
    const auto column = [&](const char* key, std::size_t width) {
      const std::string value = fixed(row.at(key).at("median").get<double>(), 1);
      return std::string(width > value.size() ? width - value.size() : 0, ' ') + value;
    };
    lines += text(column("microseconds", 12), column("allocated_microseconds", 11), "  ",
                  human_bytes(row.at("bytes").get<std::uint64_t>()), "\n");
  }
  return lines;
}

}  // namespace atelier::bench
