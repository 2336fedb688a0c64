// The flat buffers of a net and the way of gradients into them, against plain autograd.
#include <array>
#include <cmath>
#include <limits>
#include <mutex>

#include <gtest/gtest.h>

#include "launch/comm/self_comm.h"
#include "launch/comm/thread_comm.h"
#include "tests/unit/engine/small_net.h"
#include "trainer/engine/trained_net.h"

namespace atelier::engine {
namespace {

using tests::bytes_of;
using tests::copies;
using tests::small_net;

constexpr std::int64_t kBucketBytes = 4096;

TEST(FlatParameters, keep_values_in_aligned_channels_last_views) {
  for (const at::ScalarType type : {torch::kFloat, torch::kDouble}) {
    const auto net = small_net();
    const auto before = copies(*net);

    comm::SelfComm comm;
    const FlatParameters flat(*net, type, comm);

    const auto parameters = net->named_parameters();
    ASSERT_EQ(flat.slots().size(), before.size());
    std::int64_t end = FlatParameters::kVerdict;
    for (std::size_t i = 0; i < before.size(); ++i) {
      const FlatParameters::Slot& slot = flat.slots()[i];
      const at::Tensor& parameter = parameters[i].value();
      EXPECT_EQ(slot.name, parameters[i].key());
      EXPECT_TRUE(parameter.equal(before[i].to(type)));
      EXPECT_GE(slot.offset, end) << "overlaps the one before";
      end = slot.offset + parameter.numel();
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(parameter.data_ptr()) % 64, 0U);
      EXPECT_EQ(parameter.data_ptr(), FlatParameters::view(flat.weights(), slot).data_ptr());
      if (parameter.dim() == 4) {
        EXPECT_TRUE(parameter.is_contiguous(at::MemoryFormat::ChannelsLast));
      }
    }
    EXPECT_LE(end, flat.weights().numel());
    EXPECT_EQ(flat.parameters(), networks::parameter_count(*net));
  }
}

TEST(FlatParameters, writing_the_buffer_writes_the_net) {
  const auto net = small_net();
  comm::SelfComm comm;
  FlatParameters flat(*net, torch::kFloat, comm);
  const at::Tensor x = torch::rand({2, 3, 16, 16});

  {
    const torch::NoGradGuard no_grad;
    flat.weights().zero_();
  }

  for (const at::Tensor& p : net->parameters()) EXPECT_EQ(p.abs().sum().item<float>(), 0);
  EXPECT_EQ(net->forward(x).abs().sum().item<float>(), 0);
}

// A loss with a gradient penalty: its backward differentiates twice.
at::Tensor penalised(networks::Discriminator& net, const at::Tensor& images) {
  const at::Tensor x = images.detach().requires_grad_(true);
  const at::Tensor logits = net.forward(x);
  const at::Tensor slope = torch::autograd::grad({logits.sum()}, {x}, {}, true, true)[0];
  return logits.exp().mean() + slope.square().sum();
}

TEST(FlatParameters, frozen_parameters_come_last_and_have_no_gradients) {
  const auto net = small_net();
  net->named_parameters()["convolutions.0.weight"].requires_grad_(false);
  comm::SelfComm comm;

  FlatParameters flat(*net, torch::kFloat, comm);

  EXPECT_EQ(flat.trained_slots() + 1, flat.slots().size());
  EXPECT_EQ(flat.slots().back().name, "convolutions.0.weight");
  EXPECT_EQ(flat.gradients().numel(), flat.slots().back().offset);
  flat.require_gradients(false);
  flat.require_gradients(true);
  EXPECT_FALSE(net->named_parameters()["convolutions.0.weight"].requires_grad());
  EXPECT_TRUE(net->named_parameters()["convolutions.0.bias"].requires_grad());
}

// ---- GradientBuckets

struct Bucketed {
  Bucketed(networks::Net& net, at::ScalarType type, comm::Comm& comm,
           BucketPlan plan = {.bytes = kBucketBytes}, Wire wire = Wire::kFull)
      : flat(net, type, comm), buckets(flat, comm, "D", plan, wire) {}
  [[nodiscard]] at::Tensor gradient(std::size_t slot) const {
    return FlatParameters::view(flat.gradients(), flat.slots()[slot]);
  }
  FlatParameters flat;
  GradientBuckets buckets;
};

TEST(GradientBuckets, backwards_of_a_phase_add_up_with_gradient_penalties_counted_once) {
  const auto plain = small_net();
  plain->to(torch::kDouble);
  const auto net = small_net();
  comm::SelfComm comm;
  Bucketed bucketed(*net, torch::kDouble, comm);
  const at::Tensor x = torch::rand({4, 3, 16, 16}, torch::kDouble);
  const auto expected = torch::autograd::grad({penalised(*plain, x)}, plain->parameters());

  for (const double backwards : {2.0, 1.0}) {  // the second phase has to forget the first
    bucketed.buckets.begin();
    for (int i = 0; i < backwards; ++i) penalised(*net, x).backward();
    EXPECT_EQ(bucketed.buckets.finish(), 0);

    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_TRUE(bucketed.gradient(i).allclose(backwards * expected[i], 1e-10, 1e-13))
          << bucketed.flat.slots()[i].name;
      EXPECT_FALSE(net->parameters()[i].grad().defined()) << "kept a second copy";
    }
  }
}

TEST(GradientBuckets, parameters_that_no_backward_reached_have_a_gradient_of_zero) {
  const auto net = small_net();
  comm::SelfComm comm;
  Bucketed bucketed(*net, torch::kFloat, comm);
  bucketed.flat.gradients().fill_(7);

  bucketed.buckets.begin();
  net->named_parameters()["convolutions.0.weight"].sum().backward();
  bucketed.buckets.finish();

  for (std::size_t i = 0; i < bucketed.flat.slots().size(); ++i) {
    const bool used = bucketed.flat.slots()[i].name == "convolutions.0.weight";
    EXPECT_EQ(bucketed.gradient(i).min().item<float>(), used ? 1 : 0);
    EXPECT_EQ(bucketed.gradient(i).max().item<float>(), used ? 1 : 0);
  }
}

TEST(GradientBuckets, frozen_parameters_stay_as_they_are) {
  const auto net = small_net();
  at::Tensor frozen = net->named_parameters()["convolutions.0.weight"];
  frozen.requires_grad_(false);
  const at::Tensor before = frozen.clone();
  comm::SelfComm comm;
  TrainedNet trained({.name = "D", .net = net, .averaged = true}, torch::kFloat, comm,
                     OptimizerConfig());

  trained.gradients().begin();
  net->forward(torch::rand({4, 3, 16, 16})).sum().backward();
  trained.gradients().finish();
  trained.update(1e-2, 1, 0.5);

  EXPECT_TRUE(net->named_parameters()["convolutions.0.weight"].equal(before));
  EXPECT_EQ(trained.weight_state().size(), trained.average_state().size());
  EXPECT_EQ(trained.optimizer_state().size(), 2 * (trained.weight_state().size() - 1) + 1);
}

TEST(GradientBuckets, bucket_plans_change_calls_but_no_bits) {
  const at::Tensor x = torch::rand({6, 3, 16, 16});
  std::mutex mutex;
  std::vector<std::string> sums;
  std::vector<std::uint64_t> calls;
  for (const bool overlap : {false, true}) {
    for (const std::int64_t bytes : {1, 1000, 20'000, 1 << 20}) {
      comm::run_ranks(3, [&](comm::Comm& comm) {
        const auto net = small_net();
        Bucketed bucketed(*net, torch::kFloat, comm, {.bytes = bytes, .overlap = overlap});
        const std::uint64_t before = comm.sequence();
        bucketed.buckets.begin();
        const at::Tensor loss = net->forward(x.narrow(0, 2 * comm.rank(), 2)).exp().sum();
        bucketed.buckets.expect_last();
        loss.backward();
        const std::uint64_t while_it_ran = comm.sequence() - before;

        const std::int64_t moved = bucketed.buckets.finish();

        EXPECT_EQ(moved, static_cast<std::int64_t>(bucketed.flat.gradients().nbytes()));
        EXPECT_EQ(comm.sequence() - before, bucketed.buckets.buckets());
        EXPECT_EQ(while_it_ran, overlap ? bucketed.buckets.buckets() : 0);
        const std::vector<double>& ready = bucketed.buckets.ready_seconds();
        EXPECT_GT(*std::min_element(ready.begin(), ready.end()), 0);
        EXPECT_GE(ready.front(), ready.back()) << "the first layer's gradient comes last";
        const std::lock_guard lock(mutex);
        sums.push_back(bytes_of(bucketed.flat.gradients()));
        calls.push_back(bucketed.buckets.buckets());
      });
    }
  }
  for (const std::string& sum : sums) EXPECT_TRUE(sum == sums.front());
  EXPECT_EQ(calls.front(), 5U) << "a bucket per parameter";
  EXPECT_EQ(calls.back(), 1U);
}

// Every rank's values rounded once, summed in float32 in rank order, the sum rounded once.
TEST(GradientBuckets, a_bfloat16_wire_halves_the_bytes_and_sums_in_float32) {
  const at::Tensor x = torch::rand({6, 3, 16, 16});
  std::mutex mutex;
  std::array<at::Tensor, 3> own;
  std::vector<at::Tensor> sums;
  comm::run_ranks(3, [&](comm::Comm& comm) {
    const auto net = small_net();
    Bucketed bucketed(*net, torch::kFloat, comm, {.bytes = 1000}, Wire::kBFloat16);
    bucketed.buckets.begin();
    net->forward(x.narrow(0, 2 * comm.rank(), 2)).exp().sum().backward();
    const at::Tensor mine = bucketed.flat.gradients().clone();

    const std::int64_t moved = bucketed.buckets.finish();

    EXPECT_EQ(moved, static_cast<std::int64_t>(bucketed.flat.gradients().nbytes() / 2));
    const std::lock_guard lock(mutex);
    own.at(static_cast<std::size_t>(comm.rank())) = mine;
    sums.push_back(bucketed.flat.gradients().clone());
  });
  at::Tensor expected = torch::zeros_like(own[0]);
  for (const at::Tensor& one : own) expected += one.to(torch::kBFloat16).to(torch::kFloat);
  expected = expected.to(torch::kBFloat16).to(torch::kFloat);
  for (const at::Tensor& sum : sums) EXPECT_TRUE(at::equal(sum, expected));
}

TEST(GradientBuckets, an_infinite_loss_reaches_every_rank) {
  for (const Wire wire : {Wire::kFull, Wire::kBFloat16}) {
    comm::run_ranks(2, [&](comm::Comm& comm) {
      const auto net = small_net();
      Bucketed bucketed(*net, torch::kFloat, comm, {.bytes = kBucketBytes}, wire);
      bucketed.buckets.begin();
      const double loss = comm.rank() == 1 ? std::numeric_limits<double>::infinity() : 1.0;
      bucketed.buckets.add_verdict(torch::tensor(loss));
      bucketed.buckets.finish();
      EXPECT_FALSE(std::isfinite(bucketed.flat.gradients().norm().item<double>()));

      bucketed.buckets.begin();
      bucketed.buckets.add_verdict(torch::tensor(1.0));
      bucketed.buckets.finish();
      EXPECT_EQ(bucketed.flat.gradients().norm().item<double>(), 0);
    });
  }
}

}  // namespace
}  // namespace atelier::engine
