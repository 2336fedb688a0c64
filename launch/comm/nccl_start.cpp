#include "launch/comm/nccl_start.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/handshake.h"
#include "launch/comm/nccl_checks.h"

namespace atelier::comm {
namespace {

struct Seat {
  std::int64_t host = 0;
  std::int64_t devices = 0;
  std::array<char, 32> bus_id = {};  ///< empty: no device for this rank
};

std::vector<Seat> seats_of_all(MpiComm& host, const Seat& mine) {
  std::vector<Seat> seats(static_cast<std::size_t>(host.world()));
  host.all_gather({&mine, sizeof(Seat), DType::kUInt8},
                  {seats.data(), seats.size() * sizeof(Seat), DType::kUInt8},
                  {.label = "devices of the ranks"});
  return seats;
}

struct Verdict {
  DeviceChoice choice;
  std::string refusal = {};  ///< the same on all ranks; empty: none
  std::string advice = {};
};

// `devices`: that this rank may use. Collective.
Verdict judge(MpiComm& host, const CudaApi& cuda, int devices, const DeviceWish& wish) {
  Verdict verdict{.choice = {.device = wish.device >= 0
                                           ? wish.device
                                           : usual_device(host.local_rank(), devices)}};
  const int device = verdict.choice.device;
  Seat mine{.host = host.host(), .devices = devices, .bus_id = {}};
  if (device >= 0 && device < devices) {
    std::string id;
    check_cuda(cuda, cuda.get_bus_id(device, id), "cudaDeviceGetPCIBusId");
    std::copy_n(id.begin(), std::min(id.size(), mine.bus_id.size() - 1), mine.bus_id.begin());
  }
  const std::vector<Seat> seats = seats_of_all(host, mine);
  const auto refuse = [&verdict](std::string refusal, std::string advice) {
    if (verdict.refusal.empty()) verdict = {verdict.choice, std::move(refusal), std::move(advice)};
  };
  for (std::size_t rank = 0; rank < seats.size(); ++rank) {
    if (seats[rank].bus_id[0] == '\0') {
      refuse(text("There is no GPU for rank ", rank, ": its host has ", seats[rank].devices,
                  " that this job may use."),
             "See nvidia-smi on that host, and CUDA_VISIBLE_DEVICES.");
      continue;
    }
    for (std::size_t other = 0; other < rank; ++other) {
      if (seats[other].host != seats[rank].host || seats[other].bus_id != seats[rank].bus_id)
        continue;
      verdict.choice.shared = true;
      if (wish.share) continue;
      refuse(text("Ranks ", other, " and ", rank, " would share the GPU ",
                  seats[rank].bus_id.data(), "."),
             "Start at most one rank per GPU (mpirun --map-by ppr:N:node), and let each rank see "
             "all GPUs of its host, or one of its own (CUDA_VISIBLE_DEVICES).");
    }
  }
  return verdict;
}

}  // namespace

int usual_device(int local_rank, int devices) { return devices > 0 ? local_rank % devices : -1; }

DeviceChoice choose_device(MpiComm& host, const CudaApi& cuda, const DeviceWish& wish) {
  int devices = 0;
  std::optional<DeviceError> trouble;
  try {
    devices = device_count(cuda);
  } catch (const DeviceError& error) {
    trouble = error;  // told after the others have heard that this rank has none
  }
  const Verdict verdict = judge(host, cuda, devices, wish);
  if (trouble) throw DeviceError(*trouble);
  if (!verdict.refusal.empty()) throw RefusedError(verdict.refusal, verdict.advice);
  return verdict.choice;
}

bool each_rank_has_a_device(MpiComm& host, const CudaApi& cuda) {
  int devices = 0;
  if (cuda.get_device_count(devices) != 0) devices = 0;
  return judge(host, cuda, devices, {}).refusal.empty();
}

void tell_ranks_apart(const MpiComm& host) {
  const auto set = [](const char* name, const std::string& value) {
    static_cast<void>(::setenv(name, value.c_str(), 0));  // what the user has set stays
  };
  set("NCCL_HOSTID", text("atelier-rank-", host.rank()));
  if (host.hosts() == 1) set("NCCL_SOCKET_IFNAME", "lo");
  set("NCCL_IB_DISABLE", "1");
  set("NCCL_NVLS_ENABLE", "0");
  // Kernels of all ranks wait for each other on the one device, so all must fit on it at once.
  set("NCCL_MAX_CTAS", "4");
}

void require_same_libraries(MpiComm& host, const DeviceApis& apis) {
  const std::vector<NamedText> items{{"NCCL", nccl_version(*apis.nccl)},
                                     {"CUDA runtime", cuda_version(*apis.cuda)},
                                     {"CUDA of the driver", driver_version(*apis.cuda)}};
  require_equal(host, items);
}

}  // namespace atelier::comm
