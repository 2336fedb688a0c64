// The CUDA half of LibTorch links and loads on any host; without a GPU it says so and does no more.
#include <ATen/cuda/CUDAContext.h>
#include <gtest/gtest.h>
#include <nccl.h>

TEST(Cuda, build_is_registered_and_answers_without_a_gpu) {
  EXPECT_TRUE(at::globalContext().hasCUDA() == at::cuda::is_available());
  EXPECT_TRUE(at::detail::getCUDAHooks().hasCuDNN() || !at::cuda::is_available());
}

TEST(Nccl, version_matches_the_header) {
  int version = 0;

  ASSERT_EQ(ncclGetVersion(&version), ncclSuccess);

  EXPECT_EQ(version, NCCL_VERSION_CODE);
}
