// A model that trains on images which are at hand as bytes: what benchmarks step.
// Thread safety: one thread per rank.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "launch/comm/comm.h"
#include "launch/comm/self_comm.h"
#include "trainer/bench/bare_loop.h"
#include "trainer/device/uploader.h"
#include "trainer/engine/engine.h"
#include "trainer/engine/trials.h"
#include "trainer/loop/config.h"
#include "trainer/networks/geometry.h"

namespace atelier::bench {

class ModelInTraining {
 public:
  /// Lifetime: `config` and `comm` outlive it. Collective: all ranks.
  ModelInTraining(const loop::RunConfig& config, const networks::Geometry& geometry,
                  comm::Comm& comm);

  [[nodiscard]] engine::Engine& core() { return engine_; }
  [[nodiscard]] int streams() const { return streams_; }

  /// What a run measures at its start. Collective: all ranks.
  void make_choices();
  /// What came of recording steps; empty where that was not asked for.
  [[nodiscard]] const std::optional<engine::RecordingTrial>& recordings() const {
    return recordings_;
  }

  /// Bytes to updated weights. Collective: all ranks. Throws: CommError, DeviceError when a value
  /// is not finite.
  engine::StepReport step(std::int64_t step, const engine::StageListener& listener);
  /// The same with the numbers of this very step. Waits for a device.
  engine::StepReport whole_step(std::int64_t step);

  /// The same images through the bare loop, with weights of its own.
  [[nodiscard]] std::function<void(std::int64_t)> bare_step();

 private:
  /// Throws: DeviceError when a value was not finite.
  [[nodiscard]] static engine::StepReport checked(engine::StepReport report);
  [[nodiscard]] std::uint64_t seed() const;
  [[nodiscard]] std::vector<at::Tensor> images_of(std::int64_t step);
  [[nodiscard]] objectives::Position position(std::int64_t step) const;
  [[nodiscard]] engine::StepInput input(const engine::MicroBatch& batch, bool read) const;

  const loop::RunConfig& config_;
  networks::Geometry geometry_;
  comm::Comm& comm_;
  std::unique_ptr<objectives::Objective> objective_;
  engine::Engine engine_;
  comm::SelfComm alone_;
  std::unique_ptr<objectives::Objective> bare_objective_;
  std::unique_ptr<BareLoop> bare_;
  int streams_ = 0;
  std::int64_t first_ = 0;
  std::int64_t count_ = 0;
  std::optional<engine::RecordingTrial> recordings_;
  device::Uploader uploads_;
  std::vector<at::Tensor> bytes_NHWC_;  ///< by step, then stream
};

}  // namespace atelier::bench
