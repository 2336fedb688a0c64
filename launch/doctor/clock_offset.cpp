#include "launch/doctor/clock_offset.h"

#include <algorithm>

#include "launch/base/error.h"

namespace atelier::doctor {
namespace {

constexpr int kRounds = 30;

}  // namespace

std::vector<ClockOffset> estimate_offsets(std::span<const ClockRound> rounds) {
  ATELIER_CHECK(!rounds.empty(), "no round was measured");
  const auto shortest = std::min_element(
      rounds.begin(), rounds.end(), [](const ClockRound& left, const ClockRound& right) {
        return left.ended - left.began < right.ended - right.began;
      });
  const double middle = (shortest->began + shortest->ended) / 2;
  const double error = (shortest->ended - shortest->began) / 2;
  std::vector<ClockOffset> offsets;
  for (const double stamp : shortest->stamps) {
    offsets.push_back({.ahead_seconds = stamp - middle, .error_seconds = error});
  }
  offsets.front() = {};  // a clock is not ahead of itself
  return offsets;
}

std::vector<ClockOffset> measure_offsets(comm::Comm& comm, const Clock& clock) {
  const comm::CallOptions label{.label = "clock offsets"};
  std::vector<ClockRound> rounds(kRounds);
  for (ClockRound& round : rounds) {
    comm.barrier(label);
    round.began = clock.unix_seconds();
    comm.barrier(label);  // nobody leaves it before rank 0 has taken the time
    const double stamp = clock.unix_seconds();
    round.stamps.resize(static_cast<std::size_t>(comm.world()));
    comm.all_gather({&stamp, 1, comm::DType::kFloat64},
                    {round.stamps.data(), round.stamps.size(), comm::DType::kFloat64}, label);
    round.ended = clock.unix_seconds();
  }
  for (ClockRound& round : rounds) {
    comm.broadcast({&round.began, 1, comm::DType::kFloat64}, 0, label);
    comm.broadcast({&round.ended, 1, comm::DType::kFloat64}, 0, label);
  }
  return estimate_offsets(rounds);
}

}  // namespace atelier::doctor
