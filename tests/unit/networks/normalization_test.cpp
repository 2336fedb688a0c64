// Batch normalisation over ranks against PyTorch's over the whole batch, to the second derivative,
// and spectral normalisation against singular values.
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "launch/comm/thread_comm.h"
#include "trainer/networks/adversarial.h"
#include "trainer/networks/batch_norm.h"
#include "trainer/networks/spectral_norm.h"

namespace atelier::networks {
namespace {

constexpr std::int64_t kChannels = 5;
constexpr double kClose = 1e-9;
const torch::TensorOptions kDouble = torch::kDouble;

// A batch whose channels have levels far from zero, where naive variances lose their digits.
at::Tensor batch_of(std::int64_t images) {
  const at::Tensor level = torch::arange(kChannels, kDouble).view({1, -1, 1, 1}) * 40;
  return torch::sin(torch::arange(images * kChannels * 12, kDouble) * 0.7)
             .view({images, kChannels, 3, 4}) +
         level;
}

at::Tensor pattern(at::IntArrayRef shape) {
  return torch::cos(torch::arange(c10::multiply_integers(shape), kDouble) * 1.3).view(shape);
}

struct Result {
  at::Tensor y, of_x, of_weight, of_bias, running_mean, running_var;
};

at::Tensor parameter(torch::nn::Module& layer, const char* name) {
  return layer.named_parameters()[name];
}

using Forward = std::function<at::Tensor(const at::Tensor&)>;

// PyTorch's layer, with the parameters and running statistics of `layer`.
Forward torchs(BatchNorm& layer) {
  return [&](const at::Tensor& x) {
    return at::batch_norm(x, parameter(layer, "weight"), parameter(layer, "bias"),
                          parameter(layer, "running_mean"), parameter(layer, "running_var"), true,
                          0.1, 1e-5, false);
  };
}

// One forward and backward of this rank's part; with `penalty`, of a loss that holds the squared
// gradient of another with respect to the images.
Result pass(BatchNorm& layer, const Forward& forward, const at::Tensor& images, std::int64_t first,
            std::int64_t count, bool penalty) {
  const at::Tensor x = images.narrow(0, first, count).clone().requires_grad_();
  const at::Tensor y = forward(x);
  const at::Tensor target = pattern(images.sizes()).narrow(0, first, count);
  at::Tensor loss = (y * target).sum() + y.pow(3).sum();
  if (penalty) {
    loss = loss + torch::autograd::grad({(torch::tanh(y) * target).sum()}, {x}, {}, true, true)[0]
                      .square()
                      .sum();
  }
  loss.backward();
  return {.y = y.detach(),
          .of_x = x.grad(),
          .of_weight = parameter(layer, "weight").grad(),
          .of_bias = parameter(layer, "bias").grad(),
          .running_mean = parameter(layer, "running_mean").detach(),
          .running_var = parameter(layer, "running_var").detach()};
}

std::shared_ptr<BatchNorm> make_layer() {
  auto layer = std::make_shared<BatchNorm>(kChannels);
  layer->to(torch::kDouble);
  const torch::NoGradGuard no_grad;
  parameter(*layer, "weight").copy_(1 + 0.1 * pattern({kChannels}));
  parameter(*layer, "bias").copy_(0.3 * pattern({kChannels}));
  return layer;
}

double distance(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>() / std::max(1.0, b.abs().max().item<double>());
}

at::Tensor summed(const parallel::BatchReducer& batch, const at::Tensor& share) {
  return batch.sum(share.contiguous());
}

class OverRanks : public ::testing::TestWithParam<bool> {};

TEST_P(OverRanks, equals_the_whole_batch_on_one_rank) {
  const bool penalty = GetParam();
  for (const std::int64_t images : {7, 3}) {  // of 3, the fourth of 4 ranks has none
    const at::Tensor batch_images = batch_of(images);
    const auto alone = make_layer();
    const Result whole = pass(*alone, torchs(*alone), batch_images, 0, images, penalty);
    for (const int world : {1, 2, 3, 4}) {
      comm::run_ranks(world, [&](comm::Comm& comm) {
        at::set_num_threads(1);
        const parallel::BatchReducer batch(comm);
        const auto layer = make_layer();
        EXPECT_EQ(share_batch_statistics(*layer, &batch), 1);
        const std::int64_t first = images * comm.rank() / world;
        const std::int64_t count = images * (comm.rank() + 1) / world - first;

        const Result part = pass(
            *layer, [&](const at::Tensor& x) { return layer->forward(x); }, batch_images, first,
            count, penalty);

        if (count > 0) {
          EXPECT_LT(distance(part.y, whole.y.narrow(0, first, count)), kClose);
          EXPECT_LT(distance(part.of_x, whole.of_x.narrow(0, first, count)), kClose);
        }
        EXPECT_LT(distance(summed(batch, part.of_weight), whole.of_weight), kClose);
        EXPECT_LT(distance(summed(batch, part.of_bias), whole.of_bias), kClose);
        EXPECT_LT(distance(part.running_mean, whole.running_mean), kClose);
        EXPECT_LT(distance(part.running_var, whole.running_var), kClose);
      });
    }
  }
}

INSTANTIATE_TEST_SUITE_P(BatchNorm, OverRanks, ::testing::Bool(), [](const auto& test) {
  return test.param ? "second_order" : "first_order";
});

// The bare definition, without PyTorch's layer.
TEST(BatchNorm, follows_its_formula) {
  const at::Tensor x = batch_of(6);
  const auto layer = make_layer();
  const at::Tensor y = layer->forward(x);
  const at::Tensor mean = x.mean({0, 2, 3});
  const at::Tensor var = x.var({0, 2, 3}, false);
  const auto wide = [](const at::Tensor& values) { return values.view({1, -1, 1, 1}); };
  const at::Tensor expected =
      (x - wide(mean)) / (wide(var) + 1e-5).sqrt() * wide(parameter(*layer, "weight")) +
      wide(parameter(*layer, "bias"));
  EXPECT_LT(distance(y, expected), kClose);
  EXPECT_LT(distance(parameter(*layer, "running_mean"), 0.1 * mean), kClose);
  EXPECT_LT(distance(parameter(*layer, "running_var"), 0.9 + 0.1 * x.var({0, 2, 3}, true)), kClose);

  layer->eval();
  const at::Tensor before = parameter(*layer, "running_mean").clone();
  EXPECT_GT(distance(layer->forward(x), expected), 0.1);  // the running ones, which are far behind
  EXPECT_TRUE(at::equal(parameter(*layer, "running_mean"), before));
}

TEST(BatchNorm, in_bfloat16_keeps_statistics_of_float32) {
  const at::Tensor x = (batch_of(8) / 40).to(torch::kFloat);
  comm::run_ranks(2, [&](comm::Comm& comm) {
    const parallel::BatchReducer batch(comm);
    const auto over_ranks = std::make_shared<BatchNorm>(kChannels);
    over_ranks->share(&batch);
    const at::Tensor mine = x.narrow(0, comm.rank() * 4, 4);

    const at::Tensor y = over_ranks->forward(mine.to(torch::kBFloat16));

    const auto alone = std::make_shared<BatchNorm>(kChannels);
    const at::Tensor whole = torchs(*alone)(x.to(torch::kBFloat16)).narrow(0, comm.rank() * 4, 4);
    EXPECT_EQ(y.scalar_type(), torch::kBFloat16);
    EXPECT_LT(distance(y.to(torch::kDouble), whole.to(torch::kDouble)), 0.02);
    EXPECT_LT(distance(parameter(*over_ranks, "running_var"), parameter(*alone, "running_var")),
              1e-5);
  });
}

TEST(SpectralNorm, divides_by_the_largest_singular_value) {
  const at::Tensor weight = pattern({6, 3, 4, 4}).requires_grad_();
  const auto norm = std::make_shared<SpectralNorm>(6);
  norm->to(torch::kDouble);
  for (int i = 0; i < 300; ++i) static_cast<void>(norm->forward(weight.detach()));
  norm->eval();

  const at::Tensor normal = norm->forward(weight);

  const at::Tensor largest = std::get<1>(at::linalg_svd(weight.detach().flatten(1)))[0];
  EXPECT_LT(distance(normal, weight.detach() / largest), 1e-6);
  // sigma is a function of the weight: moving along the weight changes nothing.
  (normal * pattern({6, 3, 4, 4})).sum().backward();
  EXPECT_LT((weight.grad() * weight.detach()).sum().abs().item<double>(), 1e-9);
}

TEST(SpectralNorm, an_early_graph_survives_later_iterations) {
  const at::Tensor weight = pattern({4, 7}).requires_grad_();
  const auto norm = std::make_shared<SpectralNorm>(4);
  norm->to(torch::kDouble);
  const at::Tensor first = norm->forward(weight).sum();
  const at::Tensor second = norm->forward(weight).sum();
  EXPECT_NO_THROW((first + second).backward());
}

std::vector<std::string> names(const Net& net) {
  std::vector<std::string> all;
  for (const auto& named : net.named_parameters()) all.push_back(named.key());
  return all;
}

// PyTorch's DCGAN example, layer by layer: weights of transposed convolutions, no biases.
TEST(Dcgan, has_the_parameters_of_the_example) {
  const Style style{.architecture = Architecture::kDcgan, .normalization = Normalization::kBatch};
  const Geometry geometry{3, 64, 64};
  Generator generator(geometry, 64, 100, style);
  Discriminator discriminator(geometry, 64, style);
  EXPECT_EQ(parameter_count(generator), 3'576'704);
  EXPECT_EQ(parameter_count(discriminator), 2'765'568);
  for (const Net* net : {static_cast<Net*>(&generator), static_cast<Net*>(&discriminator)}) {
    for (const std::string& name : names(*net)) {
      EXPECT_TRUE(name.find("bias") == std::string::npos ||
                  name.find("normalizations") != std::string::npos)
          << name;
    }
  }

  initialize(generator, 3, 0);
  const auto parameters = generator.named_parameters();
  EXPECT_NEAR(parameters["convolutions.0.weight"].std().item<double>(), 0.02, 2e-4);
  EXPECT_NEAR(parameters["normalizations.0.weight"].mean().item<double>(), 1.0, 0.01);
  EXPECT_NEAR(parameters["normalizations.0.weight"].std().item<double>(), 0.02, 0.005);
  EXPECT_EQ(parameters["normalizations.0.bias"].abs().max().item<double>(), 0);
  EXPECT_EQ(parameters["normalizations.0.running_var"].min().item<double>(), 1);
  EXPECT_LE(generator.forward(torch::randn({2, 100})).abs().max().item<double>(), 1.0);
}

TEST(Styles, every_net_can_be_built_with_every_normalisation) {
  const Geometry geometry{3, 16, 16};
  for (const Normalization kind :
       {Normalization::kNone, Normalization::kBatch, Normalization::kGroup}) {
    for (const bool spectral : {false, true}) {
      Discriminator net(geometry, 8, {.normalization = kind, .spectral_norm = spectral});
      initialize(net, 1, 0);
      EXPECT_TRUE(net.forward(torch::randn({4, 3, 16, 16})).isfinite().all().item<bool>());
    }
  }
}

}  // namespace
}  // namespace atelier::networks
