// Where is everybody? Ranks that work on devices do not meet on the host for each call, so when a
// call does not come to its end, one asks: every rank has a thread that answers, also while the
// rank computes. Who does not answer is stopped or gone. Thread safety: any thread.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <mpi.h>

#include "launch/comm/call.h"

namespace atelier::comm {

/// Where a rank is, as it tells others. Trivially copyable: it travels between hosts. So small that
/// MPI sends it at once (Open MPI within a host: up to 4 KiB), without the peer's help: a peer that
/// is stopped in the middle must not hold up who receives.
struct Standing {
  static constexpr std::size_t kCalls = 24;
  std::uint64_t entered = 0;  ///< number of its newest call
  std::uint64_t kept = 0;     ///< calls in `newest`, the newest at (kept - 1) % kCalls
  std::array<CallRecord, kCalls> newest{};

  void add(const CallRecord& call);
  /// Null when the call was not made, or is forgotten.
  [[nodiscard]] const CallRecord* find(std::uint64_t sequence) const;
  /// Whether calls of that number are no longer kept.
  [[nodiscard]] bool has_forgotten(std::uint64_t sequence) const;
};

using Standings = std::vector<std::optional<Standing>>;  ///< by rank; empty: did not answer

class RollCall {
 public:
  /// Requires: MPI calls may come from several threads. Collective: all ranks, may block.
  /// Throws: CommError.
  explicit RollCall(MPI_Comm job);
  ~RollCall() = default;  ///< local
  RollCall(const RollCall&) = delete;
  RollCall& operator=(const RollCall&) = delete;

  /// Answers those who have asked. Throws: CommError.
  void answer(const Standing& mine);
  /// Asks everybody, and answers meanwhile; returns when all have answered or `patience` is at its
  /// end. Throws: CommError.
  [[nodiscard]] Standings ask(const Standing& mine, std::chrono::milliseconds patience);
  /// Collective: all ranks, may block. Throws: CommError.
  void close();

 private:
  struct Answer {
    Standing standing;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  void answer_locked(const Standing& mine);
  bool receive(int tag, int& source, void* data, int bytes);

  std::mutex mutex_;
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0;
  int world_ = 1;
  std::list<Answer> answers_;  ///< under way
};

/// Why `call` of rank `rank` does not end: who differs, who did not come, who does not answer.
/// Empty when all ranks have entered it.
[[nodiscard]] std::string explain(const CallRecord& call, int rank, const Standings& standings);

}  // namespace atelier::comm
