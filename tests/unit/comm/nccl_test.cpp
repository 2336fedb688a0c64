#include "launch/comm/nccl.h"

#include <gmock/gmock.h>

#include "launch/base/error.h"
#include "launch/comm/make_comm.h"

namespace atelier::comm {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

struct FakeNccl final : NcclApi {
  int code = 0;
  int loaded = 22809;
  int get_version(int& version) const override {
    version = loaded;
    return code;
  }
  int header_version() const override { return 22809; }
  std::string error_text(int) const override { return "unhandled system error"; }
};

struct FakeCuda final : CudaApi {
  int code = 0;
  int count = 2;
  int get_device_count(int& devices) const override {
    devices = count;
    return code;
  }
  int get_runtime_version(int& version) const override {
    version = 13000;
    return code;
  }
  std::string error_text(int) const override { return "no CUDA-capable device is detected"; }
};

TEST(NcclVersion, the_loaded_library_must_be_the_one_compiled_against) {
  FakeNccl nccl;
  EXPECT_EQ(nccl_version(nccl), "2.28.9");

  nccl.loaded = 22105;
  EXPECT_THAT([&] { (void)nccl_version(nccl); },
              ThrowsMessage<DeviceError>(HasSubstr("NCCL 2.21.5 is loaded")));
}

TEST(NcclVersion, an_error_carries_the_library_s_text) {
  FakeNccl nccl;
  nccl.code = 2;

  EXPECT_THAT([&] { (void)nccl_version(nccl); },
              ThrowsMessage<DeviceError>(HasSubstr("unhandled system error")));
}

TEST(DeviceCount, no_device_says_why) {
  FakeCuda cuda;
  EXPECT_EQ(device_count(cuda), 2);
  EXPECT_EQ(cuda_version(cuda), "13.0");

  cuda.code = 100;
  EXPECT_THAT([&] { (void)device_count(cuda); },
              ThrowsMessage<DeviceError>(HasSubstr("no CUDA-capable device")));
  cuda.code = 0;
  cuda.count = 0;
  EXPECT_THAT([&] { (void)device_count(cuda); },
              ThrowsMessage<DeviceError>(HasSubstr("none is visible")));
}

TEST(DeviceApis, the_real_libraries_answer_or_the_build_says_it_has_none) {
  if (!built_with_cuda()) {
    EXPECT_THROW((void)make_device_apis(), RefusedError);
    return;
  }
  const DeviceApis apis = make_device_apis();

  EXPECT_THAT(nccl_version(*apis.nccl), testing::MatchesRegex("2\\.[0-9]+\\.[0-9]+"));
  EXPECT_THAT(cuda_version(*apis.cuda), testing::MatchesRegex("[0-9]+\\.[0-9]+"));
}

TEST(MakeComm, nccl_says_what_is_missing) {
  const MpiSession session(false);

  EXPECT_THAT([&] { (void)make_comm(session, {.backend = Backend::kNccl}); },
              testing::Throws<Error>());
}

}  // namespace
}  // namespace atelier::comm
