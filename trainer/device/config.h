// How a rank uses its device. Nothing here matters on a host. No torch here. Thread safety: values.
#pragma once

#include <cstdint>

#include "launch/base/config_fields.h"

namespace atelier::device {

struct DeviceConfig {
  bool tf32 = true;               ///< matrix units may round float32 factors to 10 bits of mantissa
  bool tune_convolutions = true;  ///< cuDNN tries its algorithms on each shape it meets
  std::int64_t report_steps = 10;  ///< losses and norms are read back every so many steps
};

void describe(ConfigFields& fields, DeviceConfig& config);

}  // namespace atelier::device
