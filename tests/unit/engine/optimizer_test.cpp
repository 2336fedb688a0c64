// What a step does to weights, against torch's own optimizers, its fused kernels and a plain loop.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <utility>

#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <gtest/gtest.h>

#include "launch/comm/self_comm.h"
#include "tests/unit/engine/small_net.h"
#include "trainer/engine/trained_net.h"
#include "trainer/engine/update_loops.h"

namespace atelier::engine {
namespace {

using tests::bytes_of;
using tests::copies;
using tests::small_net;

constexpr double kRate = 2e-3;

OptimizerConfig config_of(OptimizerKind kind, double beta1 = 0.8) {
  OptimizerConfig config;
  config.kind = kind;
  config.beta1 = beta1;
  config.beta2 = 0.95;
  config.momentum = 0.7;
  config.weight_decay = 0.1;
  return config;
}

OptimizerConfig adam() {
  OptimizerConfig config;
  config.beta1 = 0.8;
  config.beta2 = 0.95;
  return config;
}

constexpr std::array kKinds{OptimizerKind::kAdam, OptimizerKind::kAdamW, OptimizerKind::kSgd};

TrainedNet trained_net(comm::Comm& comm, const OptimizerConfig& config,
                       std::shared_ptr<networks::Net> net) {
  return {{.name = "D", .net = std::move(net), .averaged = false}, torch::kFloat, comm, config};
}

void fill_gradients(FlatParameters& flat, const std::vector<at::Tensor>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    FlatParameters::view(flat.gradients(), flat.slots()[i]).copy_(values[i]);
  }
}

std::vector<at::Tensor> random_like(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> all;
  for (const at::Tensor& tensor : tensors) all.push_back(torch::randn_like(tensor));
  return all;
}

std::unique_ptr<torch::optim::Optimizer> torchs(OptimizerKind kind,
                                                const std::vector<at::Tensor>& weights) {
  switch (kind) {
    case OptimizerKind::kAdam:
      return std::make_unique<torch::optim::Adam>(
          weights, torch::optim::AdamOptions(kRate).betas({0.8, 0.95}).eps(1e-8).weight_decay(0.1));
    case OptimizerKind::kAdamW:
      return std::make_unique<torch::optim::AdamW>(
          weights,
          torch::optim::AdamWOptions(kRate).betas({0.8, 0.95}).eps(1e-8).weight_decay(0.1));
    case OptimizerKind::kSgd:
      return std::make_unique<torch::optim::SGD>(
          weights, torch::optim::SGDOptions(kRate).momentum(0.7).weight_decay(0.1));
  }
  return nullptr;
}

TEST(Optimizer, a_hundred_steps_follow_torchs) {
  for (const OptimizerKind kind : kKinds) {
    SCOPED_TRACE(static_cast<int>(kind));
    torch::manual_seed(1);
    const auto net = small_net();
    std::vector<at::Tensor> reference = copies(*net);
    for (at::Tensor& tensor : reference) tensor.requires_grad_(true);
    const auto optimizer = torchs(kind, reference);
    comm::SelfComm comm;
    TrainedNet trained = trained_net(comm, config_of(kind), net);

    for (int step = 0; step < 100; ++step) {
      const auto gradients = random_like(reference);
      for (std::size_t i = 0; i < reference.size(); ++i) reference[i].mutable_grad() = gradients[i];
      optimizer->step();
      fill_gradients(trained.flat(), gradients);
      trained.update(kRate, 1, 0.9);
    }

    const auto found = trained.weight_state();
    for (std::size_t i = 0; i < reference.size(); ++i) {
      const at::Tensor expected = reference[i].detach();
      EXPECT_EQ(found[i].name, "D." + trained.flat().slots()[i].name);
      EXPECT_LE((found[i].value - expected).norm().item<double>(),
                1e-6 * expected.norm().item<double>());
    }
  }
}

// In units of the last place of the largest of the three: where an old weight and its step cancel,
// the result has fewer good digits than either.
double ulps_apart(float a, float b, float old) {
  const float largest = std::max({std::abs(a), std::abs(b), std::abs(old)});
  return std::abs(a - b) / (std::nextafter(largest, INFINITY) - largest);
}

// torch's fused kernels, tensor by tensor.
class Fused {
 public:
  Fused(OptimizerKind kind, double beta1, std::vector<at::Tensor> weights)
      : kind_(kind), beta1_(beta1), weights_(std::move(weights)) {
    for (const at::Tensor& w : weights_) {
      first_.push_back(torch::zeros_like(w));
      second_.push_back(torch::zeros_like(w));
      steps_.push_back(torch::zeros({}, torch::kFloat));
    }
  }
  void step(const std::vector<at::Tensor>& gradients) {
    for (at::Tensor& count : steps_) count.add_(1);
    if (kind_ == OptimizerKind::kSgd) {
      at::_fused_sgd_(weights_, gradients, first_, 0.1, 0.7, kRate, 0.0, false, false, false);
    } else if (kind_ == OptimizerKind::kAdam) {
      at::_fused_adam_(weights_, gradients, first_, second_, {}, steps_, kRate, beta1_, 0.95, 0.1,
                       1e-8, false, false);
    } else {
      at::_fused_adamw_(weights_, gradients, first_, second_, {}, steps_, kRate, beta1_, 0.95, 0.1,
                        1e-8, false, false);
    }
  }
  [[nodiscard]] const std::vector<at::Tensor>& weights() const { return weights_; }

 private:
  OptimizerKind kind_;
  double beta1_;
  std::vector<at::Tensor> weights_, first_, second_, steps_;
};

TEST(Optimizer, one_flat_step_is_torchs_fused_step_tensor_by_tensor) {
  for (const OptimizerKind kind : kKinds) {
    for (const double beta1 : {0.0, 0.3, 0.8}) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(kind) << " beta1 " << beta1);
      torch::manual_seed(2);
      const auto net = small_net();
      Fused fused(kind, beta1, copies(*net));
      comm::SelfComm comm;
      TrainedNet trained = trained_net(comm, config_of(kind, beta1), net);

      const auto before = copies(*net);
      const auto gradients = random_like(fused.weights());
      fused.step(gradients);
      fill_gradients(trained.flat(), gradients);
      trained.update(kRate, 1, 0.9);

      const auto found = trained.weight_state();
      for (std::size_t i = 0; i < found.size(); ++i) {
        const at::Tensor mine = found[i].value.contiguous().view(-1);
        const at::Tensor theirs = fused.weights()[i].contiguous().view(-1);
        const at::Tensor old = before[i].contiguous().view(-1);
        for (std::int64_t k = 0; k < mine.numel(); ++k) {
          ASSERT_LE(ulps_apart(mine.data_ptr<float>()[k], theirs.data_ptr<float>()[k],
                               old.data_ptr<float>()[k]),
                    2);
        }
      }
    }
  }
}

// Adam in the words of the paper, one operation at a time: volatile keeps the compiler from fusing
// or vectorising them.
TEST(Optimizer, bits_are_those_of_a_plain_loop) {
  torch::manual_seed(5);
  constexpr std::int64_t kCount = 1003;
  const at::Tensor g = torch::randn({kCount});
  std::vector<at::Tensor> now(4), plain(4);  // weights, moments, average
  for (std::size_t i = 0; i < 4; ++i) {
    now[i] = torch::rand({kCount});
    plain[i] = now[i].clone();
  }
  const AdamUpdate rule{.common = {.gradient_scale = 0.5, .average_step = 0.25},
                        .learning_rate = 0.01,
                        .beta1 = 0.9,
                        .beta2 = 0.99,
                        .epsilon = 1e-8,
                        .step = 3};

  update(rule,
         AdamMemory<float>{now[0].data_ptr<float>(), g.data_ptr<float>(), now[1].data_ptr<float>(),
                           now[2].data_ptr<float>(), now[3].data_ptr<float>(), kCount});

  const auto size = static_cast<float>(0.01 / (1 - std::pow(0.9, 3)));
  const auto root = static_cast<float>(std::sqrt(1 - std::pow(0.99, 3)));
  for (std::int64_t i = 0; i < kCount; ++i) {
    const auto at = [&](std::size_t k) -> float& { return plain[k].data_ptr<float>()[i]; };
    const volatile float gradient = g.data_ptr<float>()[i] * 0.5F;
    const volatile float to_gradient = gradient - at(1);
    const volatile float first_move = static_cast<float>(1 - 0.9) * to_gradient;
    at(1) = at(1) + first_move;
    const volatile float kept = at(2) * 0.99F;
    const volatile float weighted = static_cast<float>(1 - 0.99) * gradient;
    const volatile float added = weighted * gradient;
    at(2) = kept + added;
    const volatile float scaled = std::sqrt(at(2)) / root;
    const volatile float denominator = scaled + 1e-8F;
    const volatile float numerator = size * at(1);
    const volatile float step = numerator / denominator;
    at(0) = at(0) - step;
    const volatile float to_weight = at(0) - at(3);
    const volatile float average_move = 0.25F * to_weight;
    at(3) = at(3) + average_move;
  }
  for (std::size_t k = 0; k < 4; ++k) EXPECT_TRUE(bytes_of(now[k]) == bytes_of(plain[k])) << k;
}

TEST(RoundToBfloat16, is_that_of_torch_for_every_kind_of_number) {
  std::vector<float> values;
  for (std::uint64_t bits = 0; bits <= 0xffffffffU; bits += 65'521) {
    values.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  }
  for (const std::uint32_t bits : {0x3f808000U, 0x3f818000U, 0x7f7fffffU, 0x7f800000U, 0xff800000U,
                                   0x7f800001U, 0xffffffffU, 0x00000001U, 0x80000000U}) {
    values.push_back(std::bit_cast<float>(bits));
  }
  const auto count = static_cast<std::int64_t>(values.size());
  std::vector<std::uint16_t> found(values.size());

  round_to_bfloat16(values.data(), found.data(), count);

  const at::Tensor expected = torch::from_blob(values.data(), {count}).to(torch::kBFloat16);
  const auto* const bits = static_cast<const std::uint16_t*>(expected.data_ptr());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) {
      EXPECT_GT(found[i] & 0x7fffU, 0x7f80U);
    } else {
      ASSERT_EQ(found[i], bits[i]) << values[i];
    }
  }
}

TEST(Optimizer, threads_change_no_bits) {
  const at::Tensor gradients = torch::randn({5 * kUpdateBlock + 77});
  std::vector<double> norms;
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    norms.push_back(norm_of(gradients));
  }
  at::set_num_threads(1);
  EXPECT_EQ(norms[0], norms[1]);
  EXPECT_EQ(norms[0], norms[2]);
  EXPECT_NEAR(norms[0], gradients.to(torch::kDouble).norm().item<double>(), 1e-4 * norms[0]);
}

TEST(Optimizer, long_gradients_are_clipped_and_short_ones_are_not) {
  for (const auto& [norm, scale] : {std::pair{8.0, 0.25}, std::pair{2.0, 1.0}, {0.0, 1.0}}) {
    torch::manual_seed(6);
    OptimizerConfig clipping = config_of(OptimizerKind::kSgd);
    clipping.clip_norm = 2;
    comm::SelfComm comm;
    TrainedNet clipped = trained_net(comm, clipping, small_net());
    TrainedNet scaled = trained_net(comm, config_of(OptimizerKind::kSgd), small_net());
    const at::Tensor gradients = torch::randn_like(clipped.flat().gradients());
    clipped.flat().gradients().copy_(gradients);
    scaled.flat().gradients().copy_(gradients * scale);

    clipped.update(kRate, norm, 0.9);
    scaled.update(kRate, norm, 0.9);

    EXPECT_TRUE(clipped.flat().weights().equal(scaled.flat().weights())) << norm;
  }
}

TEST(Optimizer, a_discriminator_may_have_values_of_its_own) {
  OptimizerConfig config;
  config.discriminator.learning_rate = 4e-3;
  config.discriminator.beta1 = 0.0;

  EXPECT_EQ(config.of_net("D").learning_rate, 4e-3);
  EXPECT_EQ(config.of_net("D").beta1, 0.0);
  EXPECT_EQ(config.of_net("D").beta2, config.beta2);
  EXPECT_EQ(config.of_net("G").learning_rate, config.learning_rate);
}

TEST(TrainedNet, average_is_the_exponential_one_of_the_weights) {
  torch::manual_seed(3);
  comm::SelfComm comm;
  TrainedNet trained({.name = "D", .net = small_net(), .averaged = true}, torch::kDouble, comm,
                     adam());
  at::Tensor expected = trained.flat().weights().clone();
  for (const double decay : {0.0, 0.3, 0.9, 0.999}) {
    trained.flat().gradients().copy_(torch::randn_like(expected));
    trained.update(1e-2, 1, decay);
    expected = decay * expected + (1 - decay) * trained.flat().weights();
  }

  const auto average = trained.average_state();
  for (std::size_t i = 0; i < average.size(); ++i) {
    const at::Tensor part = FlatParameters::view(expected, trained.flat().slots()[i]);
    EXPECT_TRUE(average[i].value.allclose(part, 1e-12, 1e-14));
  }
}

TEST(TrainedNet, state_is_named_and_writable) {
  comm::SelfComm comm;
  TrainedNet trained({.name = "D", .net = small_net(), .averaged = true}, torch::kFloat, comm,
                     adam());
  const std::size_t slots = trained.flat().slots().size();
  const auto optimizer = trained.optimizer_state();

  ASSERT_EQ(optimizer.size(), 2 * slots + 1);
  EXPECT_EQ(optimizer.back().name, "D.steps");
  EXPECT_EQ(optimizer.back().value.scalar_type(), torch::kLong);
  EXPECT_EQ(trained.average_state().size(), slots);
  EXPECT_EQ(trained.weight_state()[0].name, "D.convolutions.0.weight");
  optimizer.back().value.fill_(41);
  trained.update(0, 1, 1);
  EXPECT_EQ(trained.optimizer_state().back().value.item<std::int64_t>(), 42);
}

}  // namespace
}  // namespace atelier::engine
