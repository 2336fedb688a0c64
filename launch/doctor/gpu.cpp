#include "launch/doctor/gpu.h"

#include <algorithm>
#include <cctype>
#include <sstream>
#include <system_error>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/nccl_checks.h"
#include "launch/comm/nccl_start.h"
#include "launch/doctor/small_file.h"

namespace atelier::doctor {
namespace {

DeviceFacts describe(const comm::CudaApi& cuda, int index) {
  DeviceFacts facts{.index = index};
  comm::check_cuda(cuda, cuda.get_bus_id(index, facts.bus_id), "cudaDeviceGetPCIBusId");
  comm::DeviceProperties found;
  comm::check_cuda(cuda, cuda.get_device_properties(index, found), "cudaGetDeviceProperties");
  facts.name = found.name;
  facts.capability = text(found.major, ".", found.minor);
  facts.total_bytes = found.total_bytes;
  return facts;
}

void ask_peers(const comm::CudaApi& cuda, std::vector<DeviceFacts>& devices) {
  for (DeviceFacts& device : devices) {
    for (const DeviceFacts& peer : devices) {
      if (peer.index == device.index) continue;
      bool can = false;
      comm::check_cuda(cuda, cuda.can_access_peer(can, device.index, peer.index),
                       "cudaDeviceCanAccessPeer");
      if (can) device.peers.push_back(peer.bus_id);
    }
  }
}

void ask_free_memory(comm::CudaApi& cuda, DeviceFacts& facts) {
  try {
    comm::check_cuda(cuda, cuda.set_device(facts.index), text("cudaSetDevice(", facts.index, ")"));
    std::size_t free = 0;
    std::size_t total = 0;
    comm::check_cuda(cuda, cuda.mem_get_info(free, total), "cudaMemGetInfo");
    facts.free_bytes = free;
    facts.free_known = true;
  } catch (const Error& error) {
    facts.fault = error.what();
  }
}

std::vector<Path> children(const Path& folder) {
  std::vector<Path> found;
  std::error_code error;  // a folder that is not there holds nothing
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    found.push_back(at->path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<std::string> probe_fabrics(const Path& root) {
  std::vector<std::string> fabrics;
  for (const Path& adapter : children(root / "sys/class/infiniband")) {
    const std::vector<Path> ports = children(adapter / "ports");
    const bool active = std::any_of(ports.begin(), ports.end(), [](const Path& port) {
      return read_small_file(port / "state").find("ACTIVE") != std::string::npos;
    });
    if (active) fabrics.push_back(adapter.filename().string());
  }
  return fabrics;
}

}  // namespace

std::string parse_driver_version(const std::string& content) {
  std::istringstream words(value_of(content, "NVRM version"));
  for (std::string word; words >> word;) {
    const bool starts_with_digit = std::isdigit(static_cast<unsigned char>(word.front())) != 0;
    if (starts_with_digit && word.find('.') != std::string::npos) return word;
  }
  return "";
}

void ask_devices(const comm::DeviceApis& apis, const GpuSeat& seat, GpuFacts& facts) {
  comm::CudaApi& cuda = *apis.cuda;
  try {
    facts.cuda_built = comm::cuda_built_version(cuda);
    facts.cuda = comm::cuda_version(cuda);
    facts.driver_cuda = comm::driver_version(cuda);
    facts.nccl = comm::nccl_version(*apis.nccl);
    const int devices = comm::device_count(cuda);
    for (int index = 0; index < devices; ++index) facts.each.push_back(describe(cuda, index));
    ask_peers(cuda, facts.each);
    facts.devices = devices;
    facts.device = comm::usual_device(seat.local_rank, devices);
  } catch (const Error& error) {
    facts.fault = error.what();
    facts.each.clear();  // half a list would be judged as a whole one
    return;
  }
  // The rank's own comes last: that is the device which stays set.
  for (DeviceFacts& device : facts.each) {
    if (seat.alone && device.index != facts.device) ask_free_memory(cuda, device);
  }
  if (facts.device >= 0)
    ask_free_memory(cuda, facts.each.at(static_cast<std::size_t>(facts.device)));
}

GpuFacts probe_gpus(const GpuSeat& seat, const Path& root) {
  GpuFacts facts{
      .built_with_cuda = comm::built_with_cuda(),
      .driver = parse_driver_version(read_small_file(root / "proc/driver/nvidia/version")),
      .fabrics = probe_fabrics(root)};
  try {
    ask_devices(comm::make_device_apis(), seat, facts);
  } catch (const Error& error) {
    facts.fault = error.what();
  }
  return facts;
}

}  // namespace atelier::doctor
