// What the tests of the made-up LibTorch device share: the device itself, registered once per
// process, and comparisons by bits. Thread safety: one thread.
#pragma once

#include <cstring>
#include <memory>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "tests/support/fake_gpu/torch_device.h"

namespace atelier::tests {

inline const at::Device kGpu(at::kPrivateUse1, 0);
inline const at::Device kCpu(at::kCPU);

inline std::shared_ptr<FakeMemory> device_memory() {
  static const auto made = std::make_shared<FakeMemory>();
  return made;
}

class TorchDevice : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    testing::GTEST_FLAG(death_test_style) = "threadsafe";
    static const bool once = (register_torch_device(device_memory()), true);
    static_cast<void>(once);
  }
};

inline bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.detach().to(kCpu);
  const at::Tensor y = b.detach().to(kCpu);
  if (x.scalar_type() != y.scalar_type() || x.sizes() != y.sizes()) return false;
  const at::Tensor x_packed = x.contiguous();
  const at::Tensor y_packed = y.contiguous();
  return std::memcmp(x_packed.const_data_ptr(), y_packed.const_data_ptr(), x_packed.nbytes()) == 0;
}

/// Bits that a run leaves, in order.
using Trace = std::vector<at::Tensor>;

inline void expect_same(const Trace& cpu, const Trace& gpu) {
  ASSERT_EQ(cpu.size(), gpu.size());
  for (std::size_t i = 0; i < cpu.size(); ++i) {
    EXPECT_TRUE(cpu[i].device() == kCpu && gpu[i].device() == kGpu) << i;
    EXPECT_EQ(cpu[i].strides(), gpu[i].strides()) << i;
    EXPECT_TRUE(same_bits(cpu[i], gpu[i]))
        << "value " << i << " of " << cpu.size() << " differs at "
        << at::nonzero(cpu[i] != gpu[i].cpu()).slice(0, 0, 8);
  }
}

}  // namespace atelier::tests
