#include "checkpoints/replicas.h"

#include <algorithm>

#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/text.h"
#include "launch/comm/call.h"

namespace atelier::checkpoints {
namespace {

// Hashes of all parts, of every rank in turn.
class Hashes {
 public:
  Hashes(comm::Comm& comm, std::span<const ReplicaPart> parts)
      : words_(2 * parts.size()), all_(words_ * static_cast<std::size_t>(comm.world())) {
    std::vector<std::int64_t> mine;
    for (const ReplicaPart& part : parts) {
      const Hash128 hash = xxh3_128(part.bytes);
      mine.push_back(static_cast<std::int64_t>(hash.low));
      mine.push_back(static_cast<std::int64_t>(hash.high));
    }
    comm.all_gather({mine.data(), mine.size(), comm::DType::kInt64},
                    {all_.data(), all_.size(), comm::DType::kInt64},
                    {.label = "hashes of the replicas"});
  }

  [[nodiscard]] std::span<const std::int64_t> of(int rank) const {
    return std::span(all_).subspan(static_cast<std::size_t>(rank) * words_, words_);
  }
  [[nodiscard]] bool same(int left, int right) const {
    return std::equal(of(left).begin(), of(left).end(), of(right).begin());
  }
  /// Requires: they differ.
  [[nodiscard]] std::size_t first_difference(int left, int right) const {
    const auto found = std::mismatch(of(left).begin(), of(left).end(), of(right).begin());
    return static_cast<std::size_t>(found.first - of(left).begin()) / 2;
  }

 private:
  std::size_t words_;
  std::vector<std::int64_t> all_;
};

int majority(const Hashes& hashes, int world) {
  for (int rank = 0; rank < world; ++rank) {
    int alike = 0;
    for (int other = 0; other < world; ++other) alike += hashes.same(rank, other) ? 1 : 0;
    if (2 * alike > world) return rank;
  }
  return -1;
}

}  // namespace

ReplicaVerdict compare_replicas(comm::Comm& comm, std::span<const ReplicaPart> parts) {
  const Hashes hashes(comm, parts);
  ReplicaVerdict verdict{.odd = {}, .healthy = majority(hashes, comm.world()), .first = ""};
  const int reference = std::max(verdict.healthy, 0);
  for (int rank = 0; rank < comm.world(); ++rank) {
    if (!hashes.same(rank, reference)) verdict.odd.push_back(rank);
  }
  if (verdict.equal()) return verdict;
  std::size_t first = parts.size();
  for (const int rank : verdict.odd) {
    first = std::min(first, hashes.first_difference(rank, reference));
  }
  verdict.first = parts[first].name;
  return verdict;
}

void heal_replicas(comm::Comm& comm, std::span<const ReplicaPart> parts,
                   const ReplicaVerdict& verdict) {
  ATELIER_CHECK(verdict.healthy >= 0, "without a majority nobody knows who is right");
  for (const ReplicaPart& part : parts) {
    comm.broadcast({part.bytes.data(), part.bytes.size(), comm::DType::kUInt8}, verdict.healthy,
                   {.label = part.name});
  }
}

std::string describe(const ReplicaVerdict& verdict) {
  if (verdict.equal()) return "all ranks hold the same state";
  return text(comm::name_ranks(verdict.odd), verdict.odd.size() == 1 ? " differs" : " differ",
              verdict.healthy < 0 ? " from rank 0" : " from the others", ", first in ",
              verdict.first);
}

}  // namespace atelier::checkpoints
