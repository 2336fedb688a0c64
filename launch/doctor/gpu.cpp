#include "launch/doctor/gpu.h"

#include <cctype>
#include <sstream>

#include "launch/base/error.h"
#include "launch/comm/nccl_checks.h"
#include "launch/doctor/small_file.h"

namespace atelier::doctor {

std::string parse_driver_version(const std::string& content) {
  std::istringstream words(value_of(content, "NVRM version"));
  for (std::string word; words >> word;) {
    const bool starts_with_digit = std::isdigit(static_cast<unsigned char>(word.front())) != 0;
    if (starts_with_digit && word.find('.') != std::string::npos) return word;
  }
  return "";
}

GpuFacts probe_gpus(const Path& root) {
  GpuFacts facts{
      .built_with_cuda = comm::built_with_cuda(),
      .driver = parse_driver_version(read_small_file(root / "proc/driver/nvidia/version"))};
  try {
    const comm::DeviceApis apis = comm::make_device_apis();
    facts.nccl = comm::nccl_version(*apis.nccl);
    facts.cuda = comm::cuda_version(*apis.cuda);
    facts.devices = comm::device_count(*apis.cuda);
  } catch (const Error& error) {
    facts.fault = error.what();
  }
  return facts;
}

}  // namespace atelier::doctor
