// Do all ranks still hold the same state? Each hashes its own (XXH3-128 per part), and the hashes
// are compared. A difference is never averaged away: a rank that computed something else, or whose
// memory failed, is named with the first part in which it differs. Thread safety: as Comm.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "launch/comm/comm.h"

namespace atelier::checkpoints {

/// Bytes that all ranks should hold alike. Lifetime: the caller's memory.
struct ReplicaPart {
  std::string name;  ///< "G.blocks.0.weight"
  std::span<std::byte> bytes;
};

struct ReplicaVerdict {
  std::vector<int> odd;  ///< ranks that differ: from the majority, or from rank 0 without one
  int healthy = 0;       ///< lowest rank of the strict majority; -1: there is none
  std::string first;     ///< the first part in which an odd rank differs

  [[nodiscard]] bool equal() const { return odd.empty(); }
};

/// The same verdict on every rank. Collective: all ranks, with the same names and sizes in the same
/// order. Throws: CommError.
[[nodiscard]] ReplicaVerdict compare_replicas(comm::Comm& comm, std::span<const ReplicaPart> parts);

/// Gives every rank the bytes of the healthy one. Requires: a majority.
/// Collective: all ranks. Throws: CommError.
void heal_replicas(comm::Comm& comm, std::span<const ReplicaPart> parts,
                   const ReplicaVerdict& verdict);

/// "rank 2 differs from the others, first in G.blocks.0.weight".
[[nodiscard]] std::string describe(const ReplicaVerdict& verdict);

}  // namespace atelier::checkpoints
