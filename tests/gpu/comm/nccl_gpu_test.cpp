// The contract on NCCL itself: alone, and with two ranks, which share the GPU where there is but
// one.
#include <chrono>
#include <exception>

#include <gmock/gmock.h>

#include "launch/base/error.h"
#include "launch/comm/nccl_checks.h"
#include "launch/comm/nccl_comm.h"
#include "tests/gpu/comm/gpu_memory.h"
#include "tests/support/gpu.h"
#include "tests/support/mpi_main.h"

namespace atelier::comm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kStart{60};  // the first start loads NCCL's kernels onto the device

std::unique_ptr<NcclComm> make(const NcclOptions& options) {
  auto host = std::make_unique<MpiComm>(tests::mpi_session(), MpiCommOptions{.timeout = kStart});
  return std::make_unique<NcclComm>(tests::mpi_session(), std::move(host), make_device_apis(),
                                    options);
}

class GpuRanks final : public Ranks {
 public:
  GpuRanks() : agree_(tests::mpi_session(), {}), memory_(make_gpu_memory()) {}
  ~GpuRanks() override { agree_.close(); }
  int world() const override { return agree_.world(); }
  DeviceMemory* device() override { return memory_.get(); }
  bool compares_calls() const override { return false; }
  bool keeps_nan() const override { return false; }

  void run(const Body& body, bool breaks) override {
    const auto comm = make({.timeout = kStart, .share_device = true});
    comm->set_default_timeout(seconds(10));
    memory_->reclaim();
    try {
      body(*comm, agree_);
    } catch (const std::exception& error) {  // a failure, but the ranks must stay together
      ADD_FAILURE() << "rank " << comm->rank() << ": " << error.what();
    }
    agree_.barrier();
    if (!breaks) comm->close();
  }

 private:
  MpiComm agree_;
  std::unique_ptr<GpuMemory> memory_;
};

INSTANTIATE_TEST_SUITE_P(Nccl, CommContract,
                         testing::Values(Backing{"gpus",
                                                 [] { return std::make_unique<GpuRanks>(); }}),
                         backing_name);

int world() {
  MpiComm comm(tests::mpi_session(), {});
  const int ranks = comm.world();
  comm.close();
  return ranks;
}

TEST(NcclOnGpus, ranks_that_would_share_a_gpu_are_refused_unless_they_want_to) {
  if (world() <= tests::gpus()) GTEST_SKIP() << "each rank has a GPU of its own here";
  std::string said;
  try {
    make({.timeout = kStart})->close();
  } catch (const RefusedError& error) {
    said = error.what();
  }
  EXPECT_THAT(said, testing::HasSubstr("would share the GPU"));
}

TEST(NcclOnGpus, an_abort_ends_what_hangs_on_the_device) {
  MpiComm agree(tests::mpi_session(), {});
  if (agree.world() == 1) {
    agree.close();
    GTEST_SKIP() << "one rank waits for nobody";
  }
  const auto comm = make({.timeout = kStart, .share_device = true});
  std::byte* const data = comm->allocate(1024);
  comm->all_reduce({data, 256, DType::kFloat32, Place::kCuda}, ReduceOp::kSum);
  comm->synchronize();  // what follows is not the first call, so it is on the device at once
  const auto start = std::chrono::steady_clock::now();
  if (comm->rank() == 0) {
    const std::string error = comm_error([&] {
      comm->all_reduce({data, 256, DType::kFloat32, Place::kCuda}, ReduceOp::kSum,
                       {.timeout = milliseconds(500), .label = "gradients"});
      comm->synchronize();
    });
    EXPECT_THAT(error,
                testing::AllOf(testing::HasSubstr("\"gradients\""), testing::HasSubstr("rank 1")));
    EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(5500));
  }
  agree.barrier();
  agree.close();
}

TEST(NcclOnGpus, the_library_loaded_is_the_one_compiled_against) {
  const DeviceApis apis = make_device_apis();

  EXPECT_THAT(nccl_version(*apis.nccl), testing::StartsWith("2."));
  EXPECT_GE(device_count(*apis.cuda), 1);
}

}  // namespace
}  // namespace atelier::comm
