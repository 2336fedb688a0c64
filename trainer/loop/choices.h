// What a run measures at its start and then keeps: precision, and how gradients are summed.
// Thread safety: one thread.
#pragma once

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
  [[nodiscard]] bool any() const { return precision || buckets; }
};

/// Of a run that begins.
[[nodiscard]] OpenChoices open_choices(const RunConfig& config);

/// Takes over what an earlier attempt has measured, where `config` leaves it open. Sums are
/// measured anew on another number of ranks.
void take_choices(const RunState& state, const RunConfig& config, engine::Engine& engine,
                  comm::Comm& comm, OpenChoices& open);

/// Measures on `input`, leaves the choices set, and logs them on rank 0. Collective: all ranks.
/// Throws: CommError.
void make_choices(const OpenChoices& open, const RunConfig& config, engine::Engine& engine,
                  comm::Comm& comm, const engine::StepInput& input, Log& log);

}  // namespace atelier::loop
