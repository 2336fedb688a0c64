// The data-parallel training step. For each phase of the objective: forward, backward, one sum of
// the gradients over all ranks, norm, Adam, average. The same code runs on one rank without MPI and
// on many; only the Comm differs. Whatever the ranks must agree on in a step travels in one fused
// vector of scalars. Thread safety: one thread per engine.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "launch/comm/comm.h"
#include "trainer/device/uploader.h"
#include "trainer/engine/config.h"
#include "trainer/engine/device_numbers.h"
#include "trainer/engine/non_finite.h"
#include "trainer/engine/recorded_steps.h"
#include "trainer/engine/report.h"
#include "trainer/engine/step_input.h"
#include "trainer/engine/trained_net.h"
#include "trainer/objectives/objective.h"

namespace atelier::engine {

/// Where the time of a step goes.
enum class Stage : std::uint8_t { kForward, kBackward, kAllReduce, kOptimizer, kMetrics };
using StageListener = std::function<void(Stage)>;

class Engine {
 public:
  /// Outside of a step the nets are in evaluation mode: batch normalisation uses what it has seen.
  /// Lifetime: `objective` and `comm` outlive the engine.
  Engine(objectives::Objective& objective, comm::Comm& comm, const OptimizerConfig& optimizer,
         Precision precision, BatchStatistics statistics = BatchStatistics::kSync);

  /// One step. A phase whose loss or gradient is not finite on any rank changes no weight. On a
  /// device it returns while the device computes, with the numbers of the step before the last.
  /// Collective: all ranks. Throws: CommError, DeviceError.
  [[nodiscard]] StepReport step(const StepInput& input, const StageListener& listener);
  /// Waits for a device. Returns the numbers that steps were asked for and did not bring yet; none
  /// on hosts. The same on all ranks. Throws: CommError, DeviceError.
  [[nodiscard]] std::optional<StepReport> settle();

  [[nodiscard]] at::Device device() const { return device_; }
  /// Steps that pass until step() brings a step's numbers.
  [[nodiscard]] std::int64_t lag() const { return numbers_ ? DeviceNumbers::kAhead : 0; }

  /// Requires: between float32 and bfloat16 only; weights are float32 in both.
  void set_precision(Precision precision);
  [[nodiscard]] Precision precision() const { return precision_; }
  /// How gradients are summed, in all nets; the same on all ranks.
  void set_bucket_plan(BucketPlan plan);
  [[nodiscard]] const BucketPlan& bucket_plan() const;
  /// Whether the device repeats recorded steps (recorded_steps.h); what was recorded is forgotten.
  /// Recordings end before the communicator is closed. Requires: on hosts, false.
  void record_steps(bool wanted);
  /// Type of weights and images.
  [[nodiscard]] at::ScalarType type() const;

  [[nodiscard]] std::vector<std::unique_ptr<TrainedNet>>& nets() { return nets_; }
  [[nodiscard]] objectives::Objective& objective() { return *objective_; }

 private:
  [[nodiscard]] TrainedNet& net(const std::string& name);
  [[nodiscard]] objectives::Losses differentiate(const objectives::Phase& phase,
                                                 const MicroBatch& batch, double share, bool last,
                                                 const StageListener& listener);
  /// Computes the phase once more, on this rank alone. Collective: all ranks (batch statistics).
  [[nodiscard]] Finding search(const objectives::Phase& phase, const StepInput& input);
  [[nodiscard]] NonFinite explain(const objectives::Phase& phase, const StepInput& input);
  /// All phases, and what follows from them. What a device is asked for here can be recorded.
  [[nodiscard]] StepOnDevice compute(const StepInput& input, const StageListener& listener);
  [[nodiscard]] StepOnDevice ask_device(const StepInput& input, const StageListener& listener);
  void set_training(bool training);
  /// Running statistics: equal on all ranks, and the averages' too. Collective: all ranks.
  void settle_statistics();
  void require_gradients(const objectives::Phase& phase);
  void run_phase(const objectives::Phase& phase, const StepInput& input,
                 const StageListener& listener, StepReport& report);
  /// The weights of a phase's net, on the host or the device.
  void update_on_host(const objectives::Phase& phase, const StepInput& input, StepReport& report);
  void update_on_device(const objectives::Phase& phase, StepReport& report);
  void record_terms(const objectives::Phase& phase,
                    const std::vector<objectives::Losses>& of_batches, StepReport& report);
  void keep_running_statistics();
  void restore_running_statistics();
  /// What the step's updates depend on besides the gradients, onto the device.
  void upload_schedule(const StepInput& input);
  [[nodiscard]] at::Tensor noise(const objectives::Position& at, Stream stream, std::int64_t dims,
                                 at::ScalarType type);
  /// Noise of the step's own, on the device.
  [[nodiscard]] at::Tensor draw(const objectives::Position& at, Stream stream, std::int64_t dims,
                                at::ScalarType type);
  void explain_skips(const StepInput& input, StepReport& report);
  /// Returns what the caller of the step is told, given the numbers that have come.
  [[nodiscard]] StepReport finish_on_device(const StepInput& input, std::int64_t reduced_bytes,
                                            std::optional<StepReport> before);
  void sum_flags(const StepInput& input, StepReport& report);
  void reduce_scalars(const StepInput& input, StepReport& report);

  objectives::Objective* objective_;
  comm::Comm* comm_;
  at::Device device_;
  parallel::BatchReducer batch_;
  OptimizerConfig optimizer_;
  Precision precision_;
  BatchStatistics statistics_;
  bool batch_norms_ = false;  ///< some net has one
  std::vector<std::unique_ptr<TrainedNet>> nets_;
  std::vector<at::Tensor> frozen_before_;  ///< running statistics of nets that have some
  std::optional<DeviceNumbers> numbers_;   ///< this and all below on a device only
  std::optional<device::Uploader> uploads_;
  at::Tensor schedule_;              ///< learning rate and step of the average. Shapes: [nets, 2]
  std::int64_t watchful_steps_ = 0;  ///< to come in which the host waits for every step's numbers
  std::optional<RecordedSteps> recorded_;
};

}  // namespace atelier::engine
