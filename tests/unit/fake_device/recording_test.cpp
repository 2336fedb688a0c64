// Recordings on the made-up device: nothing is done while one is made, a repetition does what the
// operators would, on whatever its memory holds by then, and what CUDA forbids is an error.
#include "trainer/device/recording.h"

#include <gmock/gmock.h>

#include "launch/base/error.h"
#include "tests/unit/fake_device/torch_device_fixture.h"

namespace atelier::tests {
namespace {

class Recordings : public TorchDevice {
 protected:
  static at::Tensor values(double first) {
    return torch::arange(first, first + 6, torch::kFloat).to(kGpu);
  }
};

TEST_F(Recordings, repeat_their_work_on_what_the_memory_holds_by_then) {
  const at::Tensor input = values(0);
  const at::Tensor sum = values(100);
  at::Tensor made;
  const auto recording = device::record(kGpu, [&] {
    made = input.reshape({2, 3}) * 2;
    sum.add_(made.flatten());
  });
  EXPECT_TRUE(same_bits(sum, values(100))) << "nothing is done yet";

  input.copy_(values(10));
  recording->replay();
  EXPECT_TRUE(same_bits(made, values(10).reshape({2, 3}) * 2));
  EXPECT_TRUE(same_bits(sum, values(100) + values(10) * 2));

  recording->replay();
  EXPECT_TRUE(same_bits(sum, values(100) + values(10) * 4));
}

TEST_F(Recordings, hold_a_step_of_training_with_its_backward_pass) {
  const auto train = [](bool recorded) {
    torch::manual_seed(3);
    torch::nn::Sequential net(torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 4, 3).padding(1)),
                              torch::nn::BatchNorm2d(4), torch::nn::ReLU(), torch::nn::Flatten(),
                              torch::nn::Linear(4 * 16, 2));
    net->to(kGpu);
    const at::Tensor images = torch::zeros({5, 3, 4, 4}, kGpu);
    const auto step = [&] {
      net->zero_grad();
      net->forward(images).square().mean().backward();
      const torch::NoGradGuard no_grad;
      for (at::Tensor& parameter : net->parameters()) parameter.sub_(parameter.grad() * 0.1);
    };
    std::unique_ptr<device::Recording> recording;
    if (recorded) recording = device::record(kGpu, step);
    for (int i = 0; i < 4; ++i) {
      torch::manual_seed(i);
      images.copy_(torch::randn({5, 3, 4, 4}));
      recorded ? recording->replay() : step();
    }
    std::vector<at::Tensor> all = net->parameters();
    for (const at::Tensor& buffer : net->buffers()) all.push_back(buffer);
    return all;
  };

  const auto eager = train(false), repeated = train(true);

  ASSERT_EQ(eager.size(), repeated.size());
  for (std::size_t i = 0; i < eager.size(); ++i) EXPECT_TRUE(same_bits(eager[i], repeated[i])) << i;
}

TEST_F(Recordings, of_what_a_device_cannot_repeat_are_refused_and_leave_no_trace) {
  const at::Tensor x = values(1);
  const std::vector<std::function<void()>> forbidden = {
      [&] { static_cast<void>(x.sum().item<float>()); },
      [&] { static_cast<void>(x.cpu()); },
      [&] { x.copy_(torch::zeros(6)); },
      [&] { static_cast<void>(x.nonzero()); },
  };
  for (const auto& work : forbidden) {
    const auto all = [&] {
      x.mul_(2);
      work();
    };
    EXPECT_THAT([&] { static_cast<void>(device::record(kGpu, all)); },
                testing::ThrowsMessage<DeviceError>(testing::HasSubstr("not permitted")));
    EXPECT_TRUE(same_bits(x, values(1)));
  }
  EXPECT_NE(device::record(kGpu, [&] { x.mul_(2); }), nullptr) << "the next one works";
}

TEST_F(Recordings, are_nothing_for_a_host) {
  EXPECT_THROW(static_cast<void>(device::record(kCpu, [] {})), DeviceError);
}

}  // namespace
}  // namespace atelier::tests
