// The made-up device against the CPU: what both compute is the same bit for bit, and what a GPU
// would refuse fails.
#include "tests/support/fake_gpu/torch_device.h"

#include <torch/torch.h>

#include <ATen/DeviceAccelerator.h>
#include <ATen/autocast_mode.h>
#include <c10/core/Event.h>
#include <gtest/gtest.h>

#include "tests/support/fake_gpu/fake_nccl.h"

namespace atelier::tests {
namespace {

namespace F = torch::nn::functional;

const at::Device kGpu(at::kPrivateUse1, 0);
const at::Device kCpu(at::kCPU);
constexpr int kSteps = 3;

std::shared_ptr<FakeMemory> memory() {
  static const auto made = std::make_shared<FakeMemory>();
  return made;
}

class TorchDevice : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    testing::GTEST_FLAG(death_test_style) = "threadsafe";
    static const bool once = (register_torch_device(memory()), true);
    static_cast<void>(once);
  }
};

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.detach().to(kCpu);
  const at::Tensor y = b.detach().to(kCpu);
  if (x.scalar_type() != y.scalar_type() || x.sizes() != y.sizes()) return false;
  const at::Tensor x_packed = x.contiguous();
  const at::Tensor y_packed = y.contiguous();
  return std::memcmp(x_packed.const_data_ptr(), y_packed.const_data_ptr(), x_packed.nbytes()) == 0;
}

/// Bits that a run leaves, in order.
using Trace = std::vector<at::Tensor>;

void expect_same(const Trace& cpu, const Trace& gpu) {
  ASSERT_EQ(cpu.size(), gpu.size());
  for (std::size_t i = 0; i < cpu.size(); ++i) {
    EXPECT_TRUE(cpu[i].device() == kCpu && gpu[i].device() == kGpu) << i;
    EXPECT_EQ(cpu[i].strides(), gpu[i].strides()) << i;
    EXPECT_TRUE(same_bits(cpu[i], gpu[i]))
        << "value " << i << " of " << cpu.size() << " differs at "
        << at::nonzero(cpu[i] != gpu[i].cpu()).slice(0, 0, 8);
  }
}

struct Kind {
  at::ScalarType dtype = at::kFloat;
  bool autocast = false;
  at::MemoryFormat format = at::MemoryFormat::Contiguous;
};

class Autocast {
 public:
  Autocast(bool enabled, const at::Device& device) : enabled_(enabled), type_(device.type()) {
    if (!enabled_) return;
    at::autocast::set_autocast_dtype(type_, at::kBFloat16);
    at::autocast::set_autocast_enabled(type_, true);
    at::autocast::increment_nesting();
  }
  ~Autocast() {
    if (!enabled_) return;
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(type_, false);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  bool enabled_;
  at::DeviceType type_;
};

/// All parameters in one tensor, gradients in another, as the engine keeps them.
class Model {
 public:
  Model(const at::Device& device, const Kind& kind) : device_(device), kind_(kind) {
    auto generator = at::detail::createCPUGenerator(7);
    const auto options = at::dtype(kind.dtype);
    flat_ = (at::randn({2048}, generator, options) * 0.1).to(device);
    gradients_ = at::zeros({2048}, options.device(device));
    mean_ = at::zeros_like(flat_);
    square_ = at::zeros_like(flat_);
    steps_ = at::zeros({}, at::dtype(at::kFloat).device(device));
    conv_in = take({8, 3, 4, 4}, true);
    norm_scale = take({8});
    norm_shift = take({8});
    down = take({8, 8, 3, 3}, true);
    linear = take({4, 8});
    linear_bias = take({4});
    up = take({4, 8, 4, 4}, true);
    up_bias = take({8});
    out = take({3, 8, 3, 3}, true);
  }

  at::Tensor critic(const at::Tensor& x) const {
    const Autocast cast(kind_.autocast, device_);
    auto y = at::leaky_relu(at::conv2d(x, conv_in, {}, 2, 1), 0.2);
    y = kind_.format == at::MemoryFormat::Contiguous
            ? at::group_norm(y, 2, norm_scale.to(y.scalar_type()), norm_shift.to(y.scalar_type()))
            : normalised(y);
    y = at::silu(at::conv2d(y, down, {}, 2, 1));
    y = at::linear(at::mean(y, at::IntArrayRef{2, 3}), linear, linear_bias);
    return y.to(kind_.dtype);
  }

  at::Tensor autoencode(const at::Tensor& x) const {
    auto code = critic(x);
    const auto parts = at::chunk(code, 2, 1);
    code = at::cat({at::layer_norm(parts[0], {2}), at::softplus(parts[1])}, 1);
    const Autocast cast(kind_.autocast, device_);
    auto y = at::conv_transpose2d(code.view({-1, 4, 1, 1}).contiguous(kind_.format), up, up_bias, 2);
    return at::conv2d(at::silu(normalised(y)), out, {}, 1, 1).to(kind_.dtype);
  }

  void update(double rate, float skip) {
    const auto number = at::dtype(at::kFloat);
    steps_.add_(1);
    const auto scale = at::full({}, 2.0F, number.device(device_));
    const auto found = at::full({}, skip, number.device(device_));
    at::_fused_adam_(flat_, gradients_, mean_, square_, {}, steps_,
                     at::full({}, rate, number.device(device_)), 0.9, 0.99, 0.0, 1e-8, false, false,
                     scale, found);
  }

  const at::Tensor& flat() const { return flat_; }
  const at::Tensor& gradients() const { return gradients_; }
  at::Tensor conv_in, norm_scale, norm_shift, down, linear, linear_bias, up, up_bias, out;

 private:
  // By given statistics.
  at::Tensor normalised(const at::Tensor& x) const {
    return at::batch_norm(x, norm_scale, norm_shift, at::zeros_like(norm_shift),
                          at::ones_like(norm_scale), /*training=*/false, 0.1, 1e-5, false);
  }

  at::Tensor take(at::IntArrayRef size, bool image = false) {
    const auto count = c10::multiply_integers(size);
    const auto place = [&](const at::Tensor& all) {
      if (!image || kind_.format == at::MemoryFormat::Contiguous) {
        return all.narrow(0, taken_, count).view(size);
      }
      return all.narrow(0, taken_, count)
          .view({size[0], size[2], size[3], size[1]})
          .permute({0, 3, 1, 2});
    };
    at::Tensor mine = place(flat_).detach().requires_grad_();
    mine.mutable_grad() = place(gradients_);
    taken_ += count;
    return mine;
  }

  at::Device device_;
  Kind kind_;
  at::Tensor flat_, gradients_, mean_, square_, steps_;
  std::int64_t taken_ = 0;
};

Trace train(const at::Device& device, const Kind& kind) {
  Model model(device, kind);
  auto generator = at::detail::createCPUGenerator(3);
  Trace trace;
  for (int step = 0; step < kSteps; ++step) {
    const auto x = at::randn({4, 3, 8, 8}, generator, at::dtype(kind.dtype))
                       .to(device)
                       .contiguous(kind.format)
                       .requires_grad_();
    model.gradients().zero_();
    const auto scores = model.critic(x);
    const auto slope =
        torch::autograd::grad({scores.sum()}, {x}, {}, /*retain_graph=*/true, /*create_graph=*/true)[0];
    const auto penalty = slope.square().sum({1, 2, 3}).mean();
    const auto copy = model.autoencode(x.detach());
    const auto loss = at::softplus(-scores).mean() + penalty * 5 + at::mse_loss(copy, copy.detach() + 1);
    loss.backward();
    model.update(0.01 / (step + 1), step == 1 ? 1.0F : 0.0F);
    for (const auto& value : {scores.detach(), slope.detach(), copy.detach(), loss.detach(),
                              model.gradients().norm(), model.gradients().clone(),
                              model.flat().clone()}) {
      trace.push_back(value);
    }
  }
  return trace;
}

TEST_F(TorchDevice, training_equals_the_cpu_in_float32) {
  expect_same(train(kCpu, {}), train(kGpu, {}));
}

TEST_F(TorchDevice, training_equals_the_cpu_in_float64) {
  const Kind kind{.dtype = at::kDouble};

  expect_same(train(kCpu, kind), train(kGpu, kind));
}

TEST_F(TorchDevice, training_equals_the_cpu_channels_last) {
  const Kind kind{.format = at::MemoryFormat::ChannelsLast};

  const Trace gpu = train(kGpu, kind);

  expect_same(train(kCpu, kind), gpu);
  EXPECT_TRUE(gpu.at(2).is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST_F(TorchDevice, training_equals_the_cpu_under_autocast) {
  const Kind kind{.autocast = true, .format = at::MemoryFormat::ChannelsLast};

  expect_same(train(kCpu, kind), train(kGpu, kind));
}

}  // namespace
}  // namespace atelier::tests
