// What the made-up device promises: results of the CPU's bits, layouts kept, memory that the host
// cannot touch, errors where a GPU has them, and counts of what makes the host wait.
#include <csignal>
#include <cstdlib>
#include <functional>
#include <thread>
#include <utility>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/DeviceAccelerator.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>

#include "tests/support/fake_gpu/fake_nccl.h"
#include "tests/unit/fake_device/torch_device_fixture.h"

namespace atelier::tests {
namespace {

at::Tensor noise(at::IntArrayRef size, const at::Device& device, at::ScalarType type = at::kFloat) {
  auto generator = at::detail::createCPUGenerator(11);
  return at::randn(size, generator, at::dtype(type)).to(device);
}

// The same work on both devices.
void expect_same_work(const std::function<Trace(const at::Device&)>& work) {
  expect_same(work(kCpu), work(kGpu));
}

TEST_F(TorchDevice, reductions_and_products_equal_the_cpu) {
  expect_same_work([](const at::Device& device) -> Trace {
    const auto x = noise({6, 6}, device);
    const auto symmetric = at::mm(x, x.t());
    return {x.norm(),
            x.sum(0),
            x.mean(),
            x.amax(1),
            at::dot(x[0], x[1]),
            symmetric,
            at::addmm(x, x, x),
            std::get<0>(at::linalg_qr(x)),
            std::get<0>(at::linalg_eigh(symmetric)),
            std::get<0>(x.sort(1)),
            x.cumsum(0),
            std::get<0>(at::var_mean(x)),
            at::linalg_vector_norm(x)};
  });
}

TEST_F(TorchDevice, pointwise_operators_equal_the_cpu) {
  expect_same_work([](const at::Device& device) -> Trace {
    const auto x = noise({5, 7}, device);
    const auto y = x.t().contiguous().t();
    return {x + y,
            x * 3,
            1 - x,
            x / (y + 4),
            at::where(x > 0, x, y),
            at::minimum(x, y),
            at::isfinite(x),
            at::tanh(y),
            at::full_like(x, 2),
            x.to(at::kBFloat16),
            at::lerp(x, y, 0.3),
            at::clamp(x, -1, 1),
            at::cat({x, y}),
            at::stack({x, y}, 1),
            at::zeros_like(y),
            at::arange(5, at::device(device)),
            at::eye(3, at::device(device)),
            x.to(at::kDouble)};
  });
}

TEST_F(TorchDevice, shapes_and_strides_equal_the_cpu) {
  expect_same_work([](const at::Device& device) -> Trace {
    const auto x = noise({2, 3, 4, 5}, device).contiguous(at::MemoryFormat::ChannelsLast);
    return {x,
            x.relu(),
            x.permute({1, 0, 2, 3}),
            x.slice(2, 0, 4, 2) + 1,
            x.flatten(1),
            x.unfold(3, 2, 1),
            at::empty_like(x).copy_(x),
            at::upsample_nearest2d(x, {8, 10}),
            at::max_pool2d(x, 2),
            at::pad(x, {1, 1}),
            x.select(1, 2),
            x.clone(),
            x.expand({2, 3, 4, 5}) * x};
  });
}

TEST_F(TorchDevice, writing_in_place_equals_the_cpu) {
  expect_same_work([](const at::Device& device) -> Trace {
    const auto x = noise({4, 6}, device);
    auto grown = at::empty({0}, at::device(device));
    at::add_out(grown, x, x);
    const auto into = at::zeros({2, 4, 6}, at::device(device));
    auto half = into[1];
    at::mul_out(half, x, x);
    auto resized = x.clone().resize_({3, 2}).resize_({8, 3}).zero_();
    auto other = at::empty({0}, at::device(device));
    other.set_(x.storage(), 6, {2, 3}, {6, 1});
    const std::vector<at::Tensor> list = {x.clone(), into};
    at::_foreach_mul_(list, 2);
    at::_foreach_add_(list, list);
    return {grown,  into,         resized,
            other,  list[0],      list[1],
            x.t_(), x.squeeze_(), at::_foreach_norm(list)[1]};
  });
}

TEST_F(TorchDevice, looking_up_equals_the_cpu) {
  expect_same_work([](const at::Device& device) -> Trace {
    const auto x = noise({6, 3}, device);
    const auto rows = at::tensor({4, 0, 4}, at::kLong);  // as on a GPU, they may be on the CPU
    const auto put = x.clone();
    put.index_put_({rows}, at::ones({3, 3}, at::device(device)), /*accumulate=*/true);
    return {x.index({rows}),
            put,
            x.index_select(0, rows.to(device)),
            at::masked_select(x, x > 0),
            at::nonzero(x > 0),
            x.masked_fill(x > 0, 7),
            x.gather(0, (x > 0).to(at::kLong))};
  });
}

TEST_F(TorchDevice, views_share_memory) {
  const auto flat = at::zeros({6}, kGpu);
  const auto view = flat.narrow(0, 2, 3).view({3, 1});

  view.fill_(5);

  EXPECT_TRUE(view.is_alias_of(flat));
  EXPECT_EQ(flat.sum().item<float>(), 15.0F);
}

using TorchDeviceDeathTest = TorchDevice;

TEST_F(TorchDeviceDeathTest, the_host_cannot_touch_the_memory) {
  const auto x = at::ones({4}, kGpu);

  EXPECT_EXIT(std::exit(x.data_ptr<float>()[0] > 0), testing::KilledBySignal(SIGSEGV), "");
  EXPECT_EXIT(*x.mutable_data_ptr<float>() = 1, testing::KilledBySignal(SIGSEGV), "");
  EXPECT_EQ(x.sum().item<float>(), 4.0F);
}

TEST_F(TorchDevice, tensors_of_two_devices_do_not_mix) {
  auto here = at::ones({4});
  const auto there = at::ones({4}, kGpu);

  EXPECT_THROW(here + there, c10::Error);
  EXPECT_THROW(there.clone().add_(here), c10::Error);
  EXPECT_THROW(at::add_out(here, there, there), c10::Error);
  EXPECT_THROW(at::cat({here, there}), c10::Error);
  EXPECT_THROW(at::lerp(there, there, here), c10::Error);
  EXPECT_THROW(at::mm(here.view({2, 2}), there.view({2, 2})), c10::Error);
  EXPECT_THROW(at::_foreach_add_({there}, {here}), c10::Error);
  EXPECT_THROW(at::scalar_tensor(1).add_(at::scalar_tensor(1, kGpu)), c10::Error);
  const auto updated = [&](const at::Tensor& rate, const at::Tensor& found) {
    const auto step = at::ones({}, kGpu);
    at::_fused_adam_({there.clone()}, {there}, {there.clone()}, {there.clone()}, {}, {step}, rate,
                     0.9, 0.99, 0, 1e-8, false, false, {}, found);
  };
  EXPECT_NO_THROW(updated(at::scalar_tensor(0.1), at::zeros({}, kGpu)));
  EXPECT_THROW(updated(at::scalar_tensor(0.1), at::zeros({})), c10::Error);
  EXPECT_EQ((there + at::scalar_tensor(2)).sum().item<float>(), 12.0F);
  EXPECT_EQ((at::scalar_tensor(2) * there).sum().item<float>(), 8.0F);
}

TEST_F(TorchDevice, copies_to_the_host_are_counted) {
  const auto x = at::ones({4}, kGpu);
  const auto pinned = at::empty({4}, at::device(at::kCPU).pinned_memory(true));
  const auto counted = [](const std::function<void()>& work) {
    const std::pair before(copies_to_host(), waits_of_host());
    work();
    return std::pair(copies_to_host() - before.first, waits_of_host() - before.second);
  };
  using Counts = std::pair<std::int64_t, std::int64_t>;

  EXPECT_EQ(counted([&] { x.cpu(); }), Counts(1, 1));
  EXPECT_EQ(counted([&] { x[0].item(); }), Counts(1, 1));
  EXPECT_EQ(counted([&] { at::nonzero(x); }), Counts(1, 1));
  EXPECT_EQ(counted([&] { x.index({x > 0}); }), Counts(1, 1));
  EXPECT_EQ(counted([&] { at::equal(x, x); }), Counts(1, 1));
  EXPECT_EQ(counted([&] { pinned.copy_(x, /*non_blocking=*/true); }), Counts(1, 0));
  EXPECT_EQ(counted([&] { pinned.copy_(x); }), Counts(1, 1));
  EXPECT_EQ(counted([&] { x.clone().copy_(pinned, /*non_blocking=*/true); }), Counts(0, 0));
  EXPECT_EQ(counted([&] { at::ones({4}).to(kGpu, at::kFloat, /*non_blocking=*/true); }),
            Counts(0, 1));
  EXPECT_EQ(counted([&] { (x + 1).mul_(x).sum(); }), Counts(0, 0));
}

TEST_F(TorchDevice, pinned_memory_is_told_apart) {
  const auto pinned = at::empty({8}, at::device(at::kCPU).pinned_memory(true));

  EXPECT_TRUE(pinned.is_pinned());
  EXPECT_TRUE(pinned.narrow(0, 4, 2).is_pinned());
  EXPECT_TRUE(at::ones({2}).pin_memory().is_pinned());
  EXPECT_FALSE(at::empty({8}).is_pinned());
  EXPECT_FALSE(at::empty({8}, kGpu).is_pinned());
  EXPECT_THROW(at::empty({8}, at::device(kGpu).pinned_memory(true)), c10::Error);
  pinned.fill_(3);
  EXPECT_EQ(at::empty({8}, kGpu).copy_(pinned, true).sum().item<float>(), 24.0F);
}

TEST_F(TorchDevice, streams_and_events_follow_their_rules) {
  const c10::impl::VirtualGuardImpl guard(kGpu.type());
  const c10::Stream first = guard.getStreamFromGlobalPool(kGpu);
  const c10::Stream second = guard.getStreamFromGlobalPool(kGpu);
  c10::Event event(kGpu.type(), c10::EventFlag::BACKEND_DEFAULT);
  c10::Event later(kGpu.type(), c10::EventFlag::BACKEND_DEFAULT);
  auto x = at::ones({4}, kGpu);
  {
    const c10::StreamGuard on(first);
    EXPECT_EQ(guard.getStream(kGpu), first);
    x.add_(1);
    event.record(first);
  }
  event.block(second);
  x.record_stream(second);
  later.record(second);

  EXPECT_NE(first, second);
  EXPECT_NE(first, guard.getDefaultStream(kGpu));
  EXPECT_EQ(guard.getStream(kGpu), guard.getDefaultStream(kGpu));
  EXPECT_EQ(first.native_handle(), nullptr);
  EXPECT_TRUE(event.query());
  EXPECT_GE(event.elapsedTime(later), 0.0);
  EXPECT_THROW(guard.block(nullptr, second), c10::Error);
  EXPECT_THROW(x.record_stream(c10::Stream(c10::Stream::DEFAULT, kCpu)), c10::Error);
}

TEST_F(TorchDevice, memory_is_counted_and_given_back) {
  const auto before = at::accelerator::getDeviceStats(0).allocated_bytes[0].current;
  const auto bytes = device_memory()->bytes();
  {
    const auto x = at::ones({1000}, kGpu);
    EXPECT_EQ(at::accelerator::getDeviceStats(0).allocated_bytes[0].current, before + 4000);
    EXPECT_EQ(device_memory()->bytes(), bytes + 4000);
  }
  EXPECT_EQ(at::accelerator::getDeviceStats(0).allocated_bytes[0].current, before);
  EXPECT_EQ(device_memory()->bytes(), bytes);
  EXPECT_EQ(at::getAccelerator(), kGpu.type());
}

TEST_F(TorchDevice, memory_of_the_communicator_holds_tensors) {
  FakeNccl nccl({}, device_memory());
  void* memory = nullptr;
  ASSERT_EQ(nccl.mem_alloc(memory, 64), 0);
  float host = 0;

  const auto x = at::from_blob(memory, {16}, at::device(kGpu)).fill_(2);

  EXPECT_EQ(x.sum().item<float>(), 32.0F);
  EXPECT_EQ((x + at::ones({16}, kGpu)).sum().item<float>(), 48.0F);
  EXPECT_THROW(at::from_blob(&host, {1}, at::device(kGpu)).fill_(2), c10::Error);
  EXPECT_EQ(nccl.mem_free(memory), 0);
}

TEST_F(TorchDevice, the_communicator_works_on_tensors) {
  FakeNccl nccl({}, device_memory());
  FakeCuda cuda({}, device_memory());
  comm::NcclId id;
  comm::NcclHandle communicator = nullptr;
  comm::CudaStream stream = nullptr;
  comm::CudaEvent event = nullptr;
  ASSERT_EQ(nccl.get_unique_id(id), 0);
  ASSERT_EQ(nccl.comm_init_rank(communicator, 1, id, 0), comm::kNcclInProgress);
  int state = comm::kNcclInProgress;
  ASSERT_EQ(nccl.comm_get_async_error(communicator, state), 0);
  ASSERT_EQ(state, 0);
  ASSERT_EQ(cuda.stream_create(stream), 0);
  ASSERT_EQ(cuda.event_create(event), 0);
  const auto from = at::full({100'000}, 3.0, kGpu);
  const auto to = at::zeros({100'000}, kGpu);
  const auto cleared = at::ones({5}, kGpu);

  ASSERT_EQ(nccl.all_reduce(from.data_ptr(), to.data_ptr(), 100'000, comm::DType::kFloat32,
                            comm::ReduceOp::kSum, communicator, stream),
            0);
  ASSERT_EQ(cuda.memset_async(cleared.data_ptr(), 0, cleared.nbytes(), stream), 0);
  ASSERT_EQ(cuda.event_record(event, stream), 0);
  while (cuda.event_query(event) == comm::kCudaNotReady) std::this_thread::yield();

  EXPECT_FALSE(cuda.host_can_touch());
  EXPECT_TRUE(at::equal(from, to));
  EXPECT_EQ(cleared.sum().item<float>(), 0.0F);
  ASSERT_EQ(cuda.event_destroy(event), 0);
  ASSERT_EQ(cuda.stream_destroy(stream), 0);
}

TEST_F(TorchDevice, random_numbers_are_the_cpus) {
  torch::manual_seed(5);
  const auto cpu = at::randn({9});
  torch::manual_seed(5);
  const auto gpu = at::randn({9}, kGpu);

  EXPECT_TRUE(same_bits(cpu, gpu));
  EXPECT_THROW(gpu.clone().normal_(0, 1, at::detail::createCPUGenerator()), c10::Error);
}

TEST_F(TorchDevice, a_second_registration_is_refused) {
  EXPECT_THROW(register_torch_device(device_memory()), std::logic_error);
}

}  // namespace
}  // namespace atelier::tests
