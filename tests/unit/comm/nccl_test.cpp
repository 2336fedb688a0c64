#include <gmock/gmock.h>

#include "launch/base/error.h"
#include "launch/comm/make_comm.h"
#include "launch/comm/nccl_checks.h"
#include "tests/support/fake_gpu/fake_nccl.h"

namespace atelier::comm {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(NcclVersion, the_loaded_library_must_be_the_one_compiled_against) {
  EXPECT_EQ(nccl_version(*tests::make_fake_gpu({}).nccl), "2.28.9");
  EXPECT_THAT([] { (void)nccl_version(*tests::make_fake_gpu({.nccl = 22105}).nccl); },
              ThrowsMessage<DeviceError>(HasSubstr("NCCL 2.21.5 is loaded")));
}

TEST(DeviceCount, no_device_says_why) {
  const DeviceApis two = tests::make_fake_gpu({.devices = 2});
  EXPECT_EQ(device_count(*two.cuda), 2);
  EXPECT_EQ(cuda_version(*two.cuda), "13.0");
  EXPECT_EQ(driver_version(*tests::make_fake_gpu({.driver = 12080}).cuda), "12.8");
  EXPECT_THAT([] { (void)device_count(*tests::make_fake_gpu({.devices = 0}).cuda); },
              ThrowsMessage<DeviceError>(HasSubstr("no CUDA-capable device")));
}

TEST(NcclErrors, carry_the_library_s_text_and_last_words) {
  const DeviceApis apis = tests::make_fake_gpu({});
  EXPECT_EQ(apis.nccl->mem_free(nullptr), 5);

  EXPECT_THAT(describe_nccl(*apis.nccl, nullptr, 5, "ncclMemFree"),
              testing::StartsWith("ncclMemFree failed: invalid usage (5); NCCL says: memory"));
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
