#include "trainer/device/device.h"

#include <gmock/gmock.h>

#include "launch/base/error.h"
#include "launch/comm/self_comm.h"
#include "trainer/device/uploader.h"

namespace atelier::device {
namespace {

TEST(Device, a_communicator_of_the_host_trains_on_the_host) {
  const comm::SelfComm comm;

  EXPECT_TRUE(of(comm).is_cpu());
  EXPECT_EQ(current_stream(of(comm)), nullptr);
  EXPECT_EQ(peak_bytes(of(comm)), 0);
}

TEST(Device, an_upload_to_the_host_is_the_tensor_itself) {
  Uploader uploads(at::kCPU);
  const at::Tensor values = torch::arange(3);

  EXPECT_EQ(uploads.upload(values).data_ptr(), values.data_ptr());
  uploads.finish();
}

TEST(Device, staging_memory_for_the_host_is_ordinary) {
  const at::Tensor memory = staging(at::kCPU, {2, 3}, torch::kByte);

  EXPECT_EQ(memory.sizes(), (at::IntArrayRef{2, 3}));
  EXPECT_TRUE(memory.is_cpu());
}

TEST(Device, memory_of_somebody_else_is_seen_in_place) {
  std::array<float, 4> memory{1, 2, 3, 4};
  const at::Tensor seen = view_of(memory.data(), 4, torch::kFloat, at::kCPU);

  seen.mul_(2);

  EXPECT_EQ(memory, (std::array<float, 4>{2, 4, 6, 8}));
}

#ifdef ATELIER_CUDA_IS_THERE
TEST(Device, the_kernels_for_gpus_can_be_loaded_late) {
  ASSERT_FALSE(c10::impl::hasDeviceGuardImpl(at::kCUDA));

  load_cuda_kernels();
  load_cuda_kernels();

  EXPECT_TRUE(c10::impl::hasDeviceGuardImpl(at::kCUDA));
}
#else
TEST(Device, a_libtorch_without_gpus_says_what_it_lacks) {
  EXPECT_THAT([] { load_cuda_kernels(); },
              testing::Throws<DeviceError>(testing::Property(
                  &std::exception::what, testing::HasSubstr("libtorch_cuda.so"))));
}
#endif

}  // namespace
}  // namespace atelier::device
