// The GPUs of a host, as far as this program can use them. Thread safety: pure functions.
#pragma once

#include <string>

#include "launch/base/file_system.h"

namespace atelier::doctor {

struct GpuFacts {
  bool built_with_cuda = false;
  std::string driver = {};  ///< version of NVIDIA's kernel module; empty: none is loaded
  std::string cuda = {};    ///< version of the runtime
  std::string nccl = {};
  int devices = 0;
  std::string fault = {};  ///< why there is no device; empty when there is one
};

/// Reads the text of /proc/driver/nvidia/version: "535.129.03"; empty when it names none.
[[nodiscard]] std::string parse_driver_version(const std::string& content);

/// Asks CUDA and NCCL; that the program was built without them, or an error of theirs, becomes the
/// fault. `root` stands for "/".
[[nodiscard]] GpuFacts probe_gpus(const Path& root = "/");

}  // namespace atelier::doctor
