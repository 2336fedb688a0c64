#include "launch/comm/nccl_start.h"

#include <algorithm>
#include <array>
#include <cstdlib>
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

}  // namespace

DeviceChoice choose_device(MpiComm& host, const CudaApi& cuda, const DeviceWish& wish) {
  const int devices = device_count(cuda);
  DeviceChoice choice{.device = wish.device >= 0 ? wish.device : host.local_rank()};
  if (choice.device >= devices && wish.share) choice.device %= devices;
  Seat mine{.host = host.host(), .devices = devices, .bus_id = {}};
  if (choice.device < devices) {
    std::string id;
    check_cuda(cuda, cuda.get_bus_id(choice.device, id), "cudaDeviceGetPCIBusId");
    std::copy_n(id.begin(), std::min(id.size(), mine.bus_id.size() - 1), mine.bus_id.begin());
  }
  const std::vector<Seat> seats = seats_of_all(host, mine);
  for (std::size_t rank = 0; rank < seats.size(); ++rank) {
    if (seats[rank].bus_id[0] == '\0') {
      throw RefusedError(text("There is no GPU for rank ", rank, ": its host has ",
                              seats[rank].devices, " that this job may use."),
                         "Start fewer ranks per host (mpirun --map-by ppr:N:node), or see "
                         "CUDA_VISIBLE_DEVICES.");
    }
    for (std::size_t other = 0; other < rank; ++other) {
      if (seats[other].host != seats[rank].host || seats[other].bus_id != seats[rank].bus_id)
        continue;
      choice.shared = true;
      if (wish.share) continue;
      throw RefusedError(text("Ranks ", other, " and ", rank, " would share the GPU ",
                              seats[rank].bus_id.data(), "."),
                         "Start one rank per GPU.");
    }
  }
  return choice;
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
