// The contract of training on a device on made-up GPUs, whose memory the host cannot touch.
#include "launch/comm/nccl_comm.h"
#include "tests/support/fake_gpu/fake_nccl.h"
#include "tests/support/fake_gpu/torch_device.h"
#include "tests/support/mpi_main.h"
#include "tests/unit/engine/device_contract.h"

namespace atelier::tests {
namespace {

// One per process, as LibTorch knows only one device of this kind.
class FakeDevice final : public DeviceUnderTest {
 public:
  FakeDevice() {
    const auto memory = std::make_shared<FakeMemory>();
    register_torch_device(memory);
    apis_ = make_fake_gpu(parse_faults("delay_us=50", 0), memory);
  }
  std::unique_ptr<comm::Comm> comm() override {
    auto host = std::make_unique<comm::MpiComm>(mpi_session(), comm::MpiCommOptions{});
    return std::make_unique<comm::NcclComm>(mpi_session(), std::move(host), apis_,
                                            comm::NcclOptions{});
  }
  std::int64_t waits_of_host() override { return tests::waits_of_host(); }

 private:
  comm::DeviceApis apis_;
};

}  // namespace

DeviceUnderTest& device_under_test() {
  static FakeDevice device;
  return device;
}

}  // namespace atelier::tests
