// How a rank uses its device. Nothing here matters on a host. No torch here. Thread safety: values.
#pragma once

#include <cstdint>

#include "launch/base/config_fields.h"

namespace atelier::device {

/// Whether GPUs repeat steps that they have recorded (CUDA graphs).
enum class Graphs : std::uint8_t {
  kOff,
  kOn,  ///< tried at the start of a run, and left out where it cannot be done or gives other
        ///< numbers
};

struct DeviceConfig {
  bool tf32 = true;               ///< matrix units may round float32 factors to 10 bits of mantissa
  bool tune_convolutions = true;  ///< cuDNN tries its algorithms on each shape it meets
  std::int64_t report_steps = 10;  ///< losses and norms are read back every so many steps
  Graphs graphs = Graphs::kOff;
};

void describe(ConfigFields& fields, DeviceConfig& config);

}  // namespace atelier::device
