// The contract of training on a device on real GPUs: nets, losses, optimizers and batch statistics
// give the host's numbers, alone and with two ranks, which share the GPU where there is but one.
#include "launch/comm/nccl_comm.h"
#include "tests/support/mpi_main.h"
#include "tests/unit/engine/device_contract.h"

namespace atelier::tests {
namespace {

constexpr std::chrono::seconds kStart{60};  // the first start loads kernels onto the device

class Gpu final : public DeviceUnderTest {
 public:
  std::unique_ptr<comm::Comm> comm() override {
    auto host =
        std::make_unique<comm::MpiComm>(mpi_session(), comm::MpiCommOptions{.timeout = kStart});
    return std::make_unique<comm::NcclComm>(
        mpi_session(), std::move(host), comm::make_device_apis(),
        comm::NcclOptions{.timeout = kStart, .share_device = true});
  }
  std::int64_t waits_of_host() override { return 0; }  // nobody counts them
};

}  // namespace

DeviceUnderTest& device_under_test() {
  static Gpu device;
  return device;
}

}  // namespace atelier::tests
