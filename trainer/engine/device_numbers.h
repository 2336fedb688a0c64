// The numbers of steps on a device. They are collected where they are computed, summed over the
// ranks there, and read back by the time the host has asked for two more steps; so much it may run
// ahead. Thread safety: one thread.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include <torch/torch.h>

#include "launch/comm/comm.h"
#include "trainer/device/read_back.h"
#include "trainer/engine/report.h"

namespace atelier::engine {

/// A step that a device was asked for.
struct StepOnDevice {
  StepReport report;   ///< what its numbers are called, in order
  at::Tensor numbers;  ///< float64, losses as this rank's shares; undefined where nobody wants them
};

class DeviceNumbers {
 public:
  /// Steps that the host may have asked for and not seen done.
  static constexpr std::int64_t kAhead = 2;

  /// Lifetime: `comm` outlives it.
  DeviceNumbers(comm::Comm& comm, at::Device device);

  /// Waits until the device has done the step before the last. Returns its numbers, if they were
  /// asked for. The same on all ranks. Throws: DeviceError, CommError.
  [[nodiscard]] std::optional<StepReport> catch_up();

  /// Begins the work of a step: forgets what was added.
  void begin();
  /// Shapes: scalars on the device.
  void add_loss(const at::Tensor& share) { losses_.push_back(share); }
  /// Of the update of the net that is `net`-th in the report.
  void add_update(std::size_t net, const at::Tensor& gradient_norm,
                  const at::Tensor& parameter_norm);

  /// Ends the work of a step: whether it left something as it was is counted, and what was added
  /// stands together. Shapes: → float64, on the device; undefined unless `read`.
  [[nodiscard]] at::Tensor gather(bool read);

  /// The device was asked for `step`. Collective if it has numbers: all ranks.
  void add_step(StepOnDevice step);

  /// Waits for all steps. Returns the last numbers that were asked for and not taken.
  [[nodiscard]] std::optional<StepReport> settle();

 private:
  struct Pending {
    c10::Event done;
    StepReport report;
    std::optional<device::ReadBack> numbers;
  };
  void sum_losses(const StepOnDevice& step);
  [[nodiscard]] std::optional<StepReport> take_oldest();

  comm::Comm* comm_;
  at::Device device_;
  at::Tensor skipped_;         ///< steps so far; float64 on the device
  double skipped_before_ = 0;  ///< at the last numbers
  std::vector<at::Tensor> losses_;
  std::vector<at::Tensor> norms_;   ///< gradient's and weights', net by net
  std::vector<at::Tensor> finite_;  ///< by update
  std::deque<Pending> pending_;
};

}  // namespace atelier::engine
