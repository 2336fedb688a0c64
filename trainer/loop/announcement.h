// What a run says of itself before its first step. Thread safety: pure functions.
#pragma once

#include <string>

#include "data/dataset.h"
#include "launch/comm/comm.h"
#include "launch/comm/self_test.h"
#include "trainer/engine/engine.h"
#include "trainer/loop/config.h"

namespace atelier::loop {

/// How fast the ranks sum.
[[nodiscard]] std::string sums_line(const comm::Comm& comm, const comm::SelfTest& test);

/// Threads of a rank.
struct RankThreads {
  int compute = 1;
  int loading = 0;    ///< planners and readers of all image streams
  int unpacking = 0;  ///< readers, where images are not stored raw: they compute too
  int cores = 1;      ///< that the rank has, others' share left out; 0: unknown
};
[[nodiscard]] RankThreads threads_of(const RunConfig& config, const data::Dataset& dataset,
                                     int streams, const comm::Comm& comm);

/// "Training gan (G 1.2 million parameters, …) on 20,000 images of 32x32x3, 2 ranks x 1 thread (and
/// 4 that load) on 1 core each, fp32".
[[nodiscard]] std::string training_line(engine::Engine& engine, const std::string& family,
                                        const data::Dataset& dataset, int world,
                                        const RankThreads& threads);

/// What to warn of when the threads that are busy all the time have not a core each; empty: they
/// have.
[[nodiscard]] std::string crowding(const RankThreads& threads);

}  // namespace atelier::loop
