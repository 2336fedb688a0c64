// The GPUs of a host, as far as this program can use them, and what NCCL has to go through between
// them. A rank looks at all devices, but asks for the free memory of its own alone: the question
// makes a context, which takes a second and some hundred MB of the device.
// Thread safety: as CUDA; a rank's probe on one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launch/base/file_system.h"
#include "launch/comm/nccl.h"

namespace atelier::doctor {

struct DeviceFacts {
  int index = 0;                ///< among those that this process may use
  std::string bus_id = {};      ///< which it is on the host: "0000:17:00.0"
  std::string name = {};        ///< "NVIDIA H100 80GB HBM3"
  std::string capability = {};  ///< compute capability: "9.0"
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
  bool free_known = false;              ///< whether this process has asked for it
  std::vector<std::string> peers = {};  ///< bus ids of devices whose memory it reaches directly
  std::string fault = {};               ///< why it cannot be used
};

struct GpuFacts {
  bool built_with_cuda = false;
  std::string driver = {};       ///< version of NVIDIA's kernel module; empty: none is loaded
  std::string driver_cuda = {};  ///< highest CUDA version that the driver serves
  std::string cuda = {};         ///< version of the runtime
  std::string cuda_built = {};   ///< that the program was built with
  std::string nccl = {};
  int devices = 0;
  std::string fault = {};  ///< why there is no device; empty when there is one
  int device = -1;         ///< which one this rank takes in a job on GPUs; -1: there is none for it
  std::vector<DeviceFacts> each = {};
  std::vector<std::string> fabrics = {};  ///< adapters of InfiniBand or RoCE with an active port
};

/// Which rank asks.
struct GpuSeat {
  int local_rank = 0;
  bool alone = true;  ///< the only rank of the job: then it asks for the free memory of all devices
};

/// Reads the text of /proc/driver/nvidia/version: "535.129.03"; empty when it names none.
[[nodiscard]] std::string parse_driver_version(const std::string& content);

/// Fills in what CUDA and NCCL answer; an error of theirs becomes the fault, of all or of a device.
void ask_devices(const comm::DeviceApis& apis, const GpuSeat& seat, GpuFacts& facts);

/// Asks the driver, CUDA and NCCL; that the program was built without them becomes the fault.
/// `root` stands for "/".
[[nodiscard]] GpuFacts probe_gpus(const GpuSeat& seat = {}, const Path& root = "/");

}  // namespace atelier::doctor
