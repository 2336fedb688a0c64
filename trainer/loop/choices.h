// What a run measures at its start and then keeps: precision, how gradients are summed, and whether
// its device can repeat recorded steps.
// Thread safety: one thread.
#pragma once

#include <string>

#include "launch/base/log.h"
#include "launch/comm/comm.h"
#include "trainer/engine/trials.h"
#include "trainer/loop/config.h"
#include "trainer/loop/state.h"

namespace atelier::loop {

/// What this start has to measure.
struct OpenChoices {
  bool precision = false;
  bool buckets = false;
  bool recordings = false;  ///< never kept: each attempt records for itself
  [[nodiscard]] bool any() const { return precision || buckets || recordings; }
};

/// Of a run that begins.
[[nodiscard]] OpenChoices open_choices(const RunConfig& config, const comm::Comm& comm);

/// Takes over what an earlier attempt has measured, where `config` leaves it open. Sums are
/// measured anew on another number of ranks.
void take_choices(const RunState& state, const RunConfig& config, engine::Engine& engine,
                  comm::Comm& comm, OpenChoices& open);

/// Measures on `input`, leaves the choices set, and logs them on rank 0. Collective: all ranks.
/// Throws: CommError.
void make_choices(const OpenChoices& open, const RunConfig& config, engine::Engine& engine,
                  comm::Comm& comm, const engine::StepInput& input, Log& log);

/// Why the device repeats no recorded steps from now on, on rank 0.
void tell_not_recorded(const std::string& why, const comm::Comm& comm, Log& log);

}  // namespace atelier::loop
