// Steps that a device has recorded and repeats by itself (CUDA graphs). There is one recording for
// each kind of step: its sizes, and what its objective asks for (lazy penalties). A recording works
// on memory that stays where it is; images and noise of a step are copied there first.
// Thread safety: one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "launch/comm/comm.h"
#include "trainer/device/recording.h"
#include "trainer/engine/device_numbers.h"
#include "trainer/engine/step_input.h"

namespace atelier::engine {

class RecordedSteps {
 public:
  /// Asks the device for all of a step, whose noise comes from noise().
  using Work = std::function<StepOnDevice(const StepInput&)>;

  /// `draw` gives noise on the device. Lifetime: `comm` outlives it, and is not closed before.
  RecordedSteps(comm::Comm& comm, at::Device device, objectives::Noise draw);

  /// Asks the device for the step: for the first of its kind by `work` itself, so that all that
  /// happens only once (algorithms are tried, memory for collectives is made) is done; the second
  /// is recorded; from then on the recording is repeated. Where some rank cannot record, refusal()
  /// says why, and `work` is done. `variant`: Objective::variant(). Collective: all ranks. Throws:
  /// as `work`; CommError, DeviceError.
  [[nodiscard]] StepOnDevice ask(const StepInput& input, std::int64_t variant, const Work& work);
  [[nodiscard]] const std::string& refusal() const { return refusal_; }

  /// What `draw` gives; in a recording where that will lie.
  [[nodiscard]] at::Tensor noise(const objectives::Position& at, Stream stream, std::int64_t dims,
                                 at::ScalarType type);

 private:
  // Its place is made before the recording, whose own memory is used over and over within it.
  struct Noise {
    std::size_t micro_batch;
    Stream stream;
    at::Tensor place;
  };
  struct Kind {
    std::int64_t variant;
    std::vector<std::vector<at::Tensor>> images_NCHW;  ///< by micro-batch and stream
    std::vector<MicroBatch> micro_batches;             ///< of those images
    std::vector<Noise> noise;                          ///< in the order it is asked for
    std::unique_ptr<device::Recording> recording;
    std::size_t calls = 0;  ///< of the communicator, in the recording
    StepOnDevice step;
  };
  class Scope;
  [[nodiscard]] Kind* find(const StepInput& input, std::int64_t variant);
  [[nodiscard]] StepOnDevice meet(const StepInput& input, std::int64_t variant, const Work& work);
  [[nodiscard]] bool record(Kind& kind, const StepInput& input, const Work& work);
  [[nodiscard]] StepOnDevice repeat(Kind& kind, const StepInput& input);
  [[nodiscard]] at::Tensor place_of_noise(const objectives::Position& at, Stream stream,
                                          std::int64_t dims);

  comm::Comm* comm_;
  at::Device device_;
  objectives::Noise draw_;
  std::vector<std::unique_ptr<Kind>> kinds_;
  std::unique_ptr<Kind> met_;  ///< whose first step is being asked for
  Kind* recording_ = nullptr;  ///< that is being recorded
  std::size_t noise_asked_ = 0;
  std::string refusal_;
};

}  // namespace atelier::engine
