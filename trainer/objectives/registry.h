// The families this build knows: one line each. Thread safety: pure function.
#pragma once

#include <memory>

#include "trainer/networks/geometry.h"
#include "trainer/objectives/config.h"
#include "trainer/objectives/objective.h"

namespace atelier::objectives {

/// A model of the configured family with untrained weights drawn from `seed`.
[[nodiscard]] std::unique_ptr<Objective> make_objective(const ModelConfig& model,
                                                        const ObjectiveConfig& objective,
                                                        const networks::Geometry& geometry,
                                                        std::uint64_t seed);

}  // namespace atelier::objectives
