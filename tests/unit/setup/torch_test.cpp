// The fetched LibTorch compiles with our flags and the precompiled header, links and computes.
#include <gtest/gtest.h>

TEST(Torch, version_is_the_pinned_one) { EXPECT_STREQ(TORCH_VERSION, "2.11.0"); }

TEST(Torch, autograd_computes_a_gradient) {
  torch::Tensor x = torch::full({3}, 2.0, torch::dtype(torch::kFloat64).requires_grad(true));

  x.pow(3).sum().backward();

  EXPECT_TRUE(torch::equal(x.grad(), torch::full({3}, 12.0, torch::kFloat64)));
}
