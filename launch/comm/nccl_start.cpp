#include "launch/comm/nccl_start.h"

#include <algorithm>
#include <array>
#include <vector>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/handshake.h"
#include "launch/comm/nccl_checks.h"

namespace atelier::comm {

int choose_device(MpiComm& host, const CudaApi& cuda, const DeviceWish& wish) {
  const int devices = device_count(cuda);
  int device = wish.device >= 0 ? wish.device : host.local_rank();
  if (device >= devices && wish.share) device %= devices;
  struct Seat {
    std::int64_t host;
    std::int64_t devices;
    std::array<char, 32> bus_id;
  };
  Seat mine{.host = host.host(), .devices = devices, .bus_id = {}};
  if (device < devices) {
    std::string id;
    check_cuda(cuda, cuda.get_bus_id(device, id), "cudaDeviceGetPCIBusId");
    std::copy_n(id.begin(), std::min(id.size(), mine.bus_id.size() - 1), mine.bus_id.begin());
  }
  std::vector<Seat> seats(static_cast<std::size_t>(host.world()));
  host.all_gather({&mine, sizeof(Seat), DType::kUInt8},
                  {seats.data(), seats.size() * sizeof(Seat), DType::kUInt8},
                  {.label = "devices of the ranks"});
  for (std::size_t rank = 0; rank < seats.size(); ++rank) {
    if (seats[rank].bus_id[0] == '\0') {
      throw RefusedError(text("There is no GPU for rank ", rank, ": its host has ",
                              seats[rank].devices, " that this job may use."),
                         "Start fewer ranks per host (mpirun --map-by ppr:N:node), or see "
                         "CUDA_VISIBLE_DEVICES.");
    }
    for (std::size_t other = 0; other < rank && !wish.share; ++other) {
      if (seats[other].host != seats[rank].host || seats[other].bus_id != seats[rank].bus_id)
        continue;
      throw RefusedError(text("Ranks ", other, " and ", rank, " would share the GPU ",
                              seats[rank].bus_id.data(), "."),
                         "Start one rank per GPU.");
    }
  }
  return device;
}

void require_same_libraries(MpiComm& host, const DeviceApis& apis) {
  const std::vector<NamedText> items{{"NCCL", nccl_version(*apis.nccl)},
                                     {"CUDA runtime", cuda_version(*apis.cuda)},
                                     {"CUDA of the driver", driver_version(*apis.cuda)}};
  require_equal(host, items);
}

}  // namespace atelier::comm
