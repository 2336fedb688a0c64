// How far the clocks of the ranks' hosts are apart. In each round rank 0 takes the time, lets all
// pass a barrier, collects a stamp of every rank, and takes the time again: a stamp was taken
// between the two, so half their distance bounds the error (Cristian's algorithm); of all rounds
// the shortest counts. Thread safety: as Comm.
#pragma once

#include <span>
#include <vector>

#include "launch/base/clock.h"
#include "launch/comm/comm.h"

namespace atelier::doctor {

/// Units: seconds.
struct ClockRound {
  double began = 0;                 ///< by the clock of rank 0
  double ended = 0;                 ///< likewise
  std::vector<double> stamps = {};  ///< by rank, each by its own clock
};

struct ClockOffset {
  double ahead_seconds = 0;  ///< of the clock of rank 0; negative: behind
  double error_seconds = 0;  ///< `ahead_seconds` is at most this far from the truth
};

/// By rank. Requires: at least one round, all of one world size.
[[nodiscard]] std::vector<ClockOffset> estimate_offsets(std::span<const ClockRound> rounds);

/// By rank, the same on every rank. Takes some round trips.
/// Collective: all ranks. Throws: CommError.
[[nodiscard]] std::vector<ClockOffset> measure_offsets(comm::Comm& comm, const Clock& clock);

}  // namespace atelier::doctor
