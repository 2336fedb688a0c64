// The CUDA half of LibTorch links and loads on any host; without a GPU it says so and does no more.
#include <ATen/cuda/CUDAContext.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <nccl.h>

TEST(Cuda, build_is_registered_and_answers_without_a_gpu) {
  EXPECT_TRUE(at::globalContext().hasCUDA() == at::cuda::is_available());
  EXPECT_TRUE(at::detail::getCUDAHooks().hasCuDNN() || !at::cuda::is_available());
}

TEST(Cuda, recording_is_found_by_name) {
  void* const library = ::dlopen("libatelier_cuda_recording.so", RTLD_NOW);
  ASSERT_NE(library, nullptr) << ::dlerror();
  EXPECT_NE(::dlsym(library, "atelier_record_on_cuda"), nullptr);
}

TEST(Nccl, version_matches_the_header) {
  int version = 0;

  ASSERT_EQ(ncclGetVersion(&version), ncclSuccess);

  EXPECT_EQ(version, NCCL_VERSION_CODE);
}
