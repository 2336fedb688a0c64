// Training on the made-up device against the CPU: the same bit for bit over several steps, with
// gradients of gradients, autocast, and an update of flat tensors by numbers that lie on the
// device.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>

#include "tests/unit/fake_device/torch_device_fixture.h"

namespace atelier::tests {
namespace {

constexpr int kSteps = 3;

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
    auto y =
        at::conv_transpose2d(code.view({-1, 4, 1, 1}).contiguous(kind_.format), up, up_bias, 2);
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
    const auto slope = torch::autograd::grad({scores.sum()}, {x}, {}, /*retain_graph=*/true,
                                             /*create_graph=*/true)[0];
    const auto penalty = slope.square().sum({1, 2, 3}).mean();
    const auto copy = model.autoencode(x.detach());
    const auto loss =
        at::softplus(-scores).mean() + penalty * 5 + at::mse_loss(copy, copy.detach() + 1);
    loss.backward();
    model.update(0.01 / (step + 1), step == 1 ? 1.0F : 0.0F);
    for (const auto& value :
         {scores.detach(), slope.detach(), copy.detach(), loss.detach(), model.gradients().norm(),
          model.gradients().clone(), model.flat().clone()}) {
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
  const Autocast cast(true, kGpu);
  const auto made = at::mm(at::ones({2, 2}, kGpu), at::ones({2, 2}, kGpu));
  EXPECT_EQ(made.scalar_type(), at::kBFloat16);
}

struct CountingHook final : torch::autograd::PostAccumulateGradHook {
  explicit CountingHook(int& counted) : calls(counted) {}
  void operator()(const at::Tensor& weight) override {
    calls += weight.grad().device() == kGpu ? 1 : 0;
  }
  int& calls;
};

TEST_F(TorchDevice, hooks_run_when_a_gradient_is_complete) {
  int calls = 0;
  const auto weight = at::ones({3}, kGpu).requires_grad_();
  torch::autograd::impl::set_post_acc_grad_hooks(weight, std::make_unique<CountingHook>(calls));

  (weight * weight).sum().backward();
  (weight * 2 + weight).sum().backward();

  EXPECT_EQ(calls, 2);
  EXPECT_EQ(weight.grad().sum().item<float>(), 15.0F);
}

}  // namespace
}  // namespace atelier::tests
