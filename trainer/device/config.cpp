#include "trainer/device/config.h"

namespace atelier::device {

void describe(ConfigFields& fields, DeviceConfig& config) {
  fields.boolean("device.tf32", config.tf32,
                 {"GPUs may round the factors of float32 products to 10 bits"});
  fields.boolean("device.tune_convolutions", config.tune_convolutions,
                 {"GPUs try their convolution algorithms on each shape they meet", true});
  fields.integer("device.report_steps", config.report_steps, {1, 10000},
                 {"steps between two looks at a GPU's losses and norms", true});
  fields.choice("device.graphs", config.graphs, {{"off", Graphs::kOff}, {"on", Graphs::kOn}},
                {"GPUs repeat steps from a recording (CUDA graphs)", true});
}

}  // namespace atelier::device
