#include "tests/support/gpu.h"

#include "launch/doctor/gpu.h"

namespace atelier::tests {

std::string why_no_gpu() { return doctor::probe_gpus().fault; }

int gpus() { return doctor::probe_gpus().devices; }

}  // namespace atelier::tests
