// One exchange between all ranks of a job, as the algorithms of the MPI backend see it: begin it,
// show what this rank brings, wait for the others until the deadline of the call, and name those
// who do not come. Thread safety: as Comm.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "launch/comm/call.h"
#include "launch/comm/host_link.h"
#include "launch/comm/shared_slots.h"
#include "launch/comm/topology.h"
#include "launch/comm/waiter.h"

namespace atelier::comm {

class Meeting {
 public:
  /// Lifetime: `topology` outlives it. Collective: all ranks, may block. Throws: CommError.
  Meeting(MPI_Comm job, MPI_Comm host, const Topology& topology, std::size_t slot_bytes);

  /// A call begins; its exchanges share one deadline.
  /// `background`: the rank computes meanwhile.
  void enter(const CallRecord& call, std::chrono::milliseconds timeout, bool background);
  /// Starts an exchange and gives the own slot, to be filled before `meet`.
  std::byte* begin();
  /// Shows the first `data_bytes` of the own slot to all and returns when all have shown theirs.
  /// Throws: CommError when the deadline passes or a rank is in another call.
  void meet(std::size_t data_bytes);
  /// Says that this rank is done with its stripe and returns when all of this host are.
  void await_reduced();

  /// What `rank` brought to the exchange.
  [[nodiscard]] const std::byte* shown(int rank) const { return slots_.data(rank, ticket_); }
  /// Where the ranks of a host gather a reduced chunk; slot_bytes() long.
  [[nodiscard]] std::byte* result() const { return slots_.result(ticket_); }
  [[nodiscard]] std::size_t slot_bytes() const { return slots_.slot_bytes(); }
  /// True for the first rank of the host that asks.
  [[nodiscard]] bool claim_last_word() const { return slots_.claim_last_word(); }
  /// Collective: all ranks of the host, may block. Throws: CommError.
  void close();

 private:
  enum class Wait : std::uint8_t { kArrival, kReduction };
  [[nodiscard]] std::vector<int> missing(Wait wait) const;
  [[noreturn]] void give_up(Wait wait) const;
  void check_calls() const;

  const Topology& topology_;
  SharedSlots slots_;
  std::optional<HostLink> link_;  ///< on leaders, when there are several hosts
  bool may_spin_;
  Manner manner_ = Manner::kYield;
  std::uint64_t ticket_ = 0;
  CallRecord call_;
  std::chrono::milliseconds timeout_{};
  std::chrono::steady_clock::time_point deadline_;
};

}  // namespace atelier::comm
