// The size rule, the shapes that follow from it, and weights as a pure function of the seed.
#include <cmath>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/base/error.h"
#include "trainer/networks/adversarial.h"
#include "trainer/networks/autoencoder.h"

namespace atelier::networks {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// The rule of DESIGN.md read backwards: try every k from the top.
int expected_halvings(std::int64_t height, std::int64_t width) {
  for (int k = 8; k > 0; --k) {
    const std::int64_t parts = std::int64_t{1} << k;
    if (height % parts == 0 && width % parts == 0 && height / parts >= 4 && width / parts >= 4) {
      return k;
    }
  }
  return 0;
}

TEST(Geometry, every_allowed_size_follows_the_rule) {
  for (std::int64_t height = 16; height <= 256; height += 8) {
    for (std::int64_t width = 16; width <= 256; width += 8) {
      const Geometry geometry{3, height, width};

      const int k = geometry.halvings();

      ASSERT_EQ(k, expected_halvings(height, width)) << height << "x" << width;
      ASSERT_GE(k, 2);
      ASSERT_EQ(geometry.base_height() << k, height);
      ASSERT_EQ(geometry.base_width() << k, width);
      ASSERT_GE(std::min(geometry.base_height(), geometry.base_width()), 4);
      EXPECT_NO_THROW(geometry.validate());
    }
  }
}

TEST(Geometry, known_sizes) {
  EXPECT_EQ((Geometry{3, 32, 32}).halvings(), 3);
  EXPECT_EQ((Geometry{3, 256, 256}).halvings(), 6);
  EXPECT_EQ((Geometry{3, 24, 24}).halvings(), 2);  // 3x3 would be too small
  EXPECT_EQ((Geometry{3, 64, 40}).halvings(), 3);  // gcd 8
  EXPECT_EQ((Geometry{1, 64, 40}).values(), 2560);
}

TEST(Geometry, another_size_is_refused_with_what_was_found) {
  const std::vector<Geometry> wrong{{3, 8, 32},  {3, 32, 264}, {3, 20, 32}, {2, 32, 32},
                                    {4, 32, 32}, {3, 0, 32},   {3, -16, 32}};
  for (const Geometry& geometry : wrong) {
    EXPECT_THROW(geometry.validate(), ConfigError)
        << geometry.channels << " " << geometry.height << "x" << geometry.width;
  }
  try {
    Geometry{2, 20, 32}.validate();
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("16 to 256"), HasSubstr("multiple of 8"), HasSubstr("20x32 pixels"),
                      HasSubstr("2 channels"), HasSubstr("atelier data import")));
  }
}

TEST(Geometry, channels_double_up_to_eight_times) {
  const std::vector<std::int64_t> expected{8, 16, 32, 64, 64, 64};
  for (int halving = 1; halving <= 6; ++halving) {
    EXPECT_EQ(channels_at(8, halving), expected.at(static_cast<std::size_t>(halving - 1)));
  }
}

class Shapes : public ::testing::TestWithParam<Geometry> {};

TEST_P(Shapes, nets_map_between_images_and_latents) {
  at::set_num_threads(1);  // shared cores
  const torch::NoGradGuard no_grad;
  const Geometry geometry = GetParam();
  const auto [channels, height, width] = geometry;
  const std::vector<std::int64_t> image{2, channels, height, width};
  const at::Tensor x = torch::rand(image);
  const at::Tensor z = torch::randn({2, 5});
  Discriminator discriminator(geometry, 4);
  initialize(discriminator, 3, 0);

  const std::int64_t features = channels_at(4, geometry.halvings()) *
                                (height >> geometry.halvings()) * (width >> geometry.halvings());
  EXPECT_EQ(Encoder(geometry, 4, 7).forward(x).sizes(), at::IntArrayRef({2, 7}));
  EXPECT_EQ(Decoder(geometry, 4, 5).forward(z).sizes(), image);
  EXPECT_EQ(Generator(geometry, 4, 5).forward(z).sizes(), image);
  EXPECT_EQ(discriminator.features(x).sizes(), at::IntArrayRef({2, features}));
  EXPECT_EQ(discriminator.forward(x).sizes(), at::IntArrayRef({2}));
  EXPECT_TRUE(discriminator.forward(x).equal(discriminator.logits(discriminator.features(x))));
}

TEST_P(Shapes, a_rank_without_images_is_no_error) {
  const torch::NoGradGuard no_grad;
  const Geometry geometry = GetParam();
  const at::Tensor none = torch::zeros({0, geometry.channels, geometry.height, geometry.width});

  EXPECT_EQ(Encoder(geometry, 4, 7).forward(none).sizes(), at::IntArrayRef({0, 7}));
  EXPECT_EQ(Decoder(geometry, 4, 5).forward(torch::zeros({0, 5})).sizes(), none.sizes());
  EXPECT_EQ(Discriminator(geometry, 4).forward(none).sizes(), at::IntArrayRef({0}));
}

INSTANTIATE_TEST_SUITE_P(Sizes, Shapes,
                         ::testing::Values(Geometry{3, 16, 16}, Geometry{1, 16, 16},
                                           Geometry{3, 24, 40}, Geometry{1, 40, 24},
                                           Geometry{3, 32, 32}, Geometry{3, 48, 16},
                                           Geometry{1, 64, 64}, Geometry{3, 120, 136},
                                           Geometry{3, 256, 16}, Geometry{1, 128, 256},
                                           Geometry{3, 256, 256}));

TEST(Nets, an_image_depends_on_its_own_latent_only) {
  const torch::NoGradGuard no_grad;
  Generator generator({3, 16, 16}, 8, 4);
  initialize(generator, 3, 0);
  const at::Tensor z = torch::randn({3, 4});

  const at::Tensor together = generator.forward(z);

  for (std::int64_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(
        generator.forward(z.narrow(0, i, 1)).allclose(together.narrow(0, i, 1), 1e-5, 1e-6));
  }
}

TEST(Nets, parameter_counts_are_those_of_the_layers) {
  // 32x32 with width 8: channels 8, 16, 32 on a 4x4 base.
  const Geometry geometry{3, 32, 32};
  const std::int64_t down = (3 * 8 + 8 * 16 + 16 * 32) * 16 + 8 + 16 + 32;
  const std::int64_t up = (3 * 8 + 8 * 16 + 16 * 32) * 16 + 3 + 8 + 16;
  const std::int64_t base = 32 * 4 * 4;

  EXPECT_EQ(parameter_count(Encoder(geometry, 8, 10)), down + base * 10 + 10);
  EXPECT_EQ(parameter_count(Decoder(geometry, 8, 10)), up + 10 * base + base);
  EXPECT_EQ(parameter_count(Generator(geometry, 8, 10)), up + 10 * base + base);
  // No bias of the logit: only differences of logits enter the loss.
  EXPECT_EQ(parameter_count(Discriminator(geometry, 8)), down + base);
}

std::vector<at::Tensor> weights(std::uint64_t seed, std::uint64_t net_index) {
  Encoder net({3, 32, 32}, 8, 10);
  initialize(net, seed, net_index);
  std::vector<at::Tensor> copies;
  for (const at::Tensor& parameter : net.parameters()) copies.push_back(parameter.detach().clone());
  return copies;
}

TEST(InitialWeights, are_a_function_of_seed_net_and_parameter) {
  const auto first = weights(1, 0);
  torch::manual_seed(99);  // no hidden generator takes part
  const auto again = weights(1, 0);
  const auto other_seed = weights(2, 0);
  const auto other_net = weights(1, 1);

  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_TRUE(first[i].equal(again[i]));
    EXPECT_FALSE(first[i].equal(other_seed[i]));
    EXPECT_FALSE(first[i].equal(other_net[i]));
    for (std::size_t j = 0; j < i; ++j) {
      EXPECT_NE(first[i].flatten()[0].item<float>(), first[j].flatten()[0].item<float>());
    }
  }
}

TEST(InitialWeights, are_uniform_within_one_over_the_root_of_fan_in) {
  const auto drawn = weights(3, 0);
  // Fan-in of the weight, then of its bias: 3, 8 and 16 channels of 4x4 pixels, 32 of the base.
  const std::vector<double> fan_in{48, 48, 128, 128, 256, 256, 512, 512};
  ASSERT_EQ(drawn.size(), fan_in.size());
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    const double bound = 1 / std::sqrt(fan_in[i]);
    const auto count = static_cast<double>(drawn[i].numel());
    EXPECT_LE(drawn[i].abs().max().item<double>(), bound * 1.000001);
    if (count < 300) continue;
    const at::Tensor values = drawn[i].to(torch::kDouble);
    const double sigma = bound / std::sqrt(3.0);
    EXPECT_NEAR(values.mean().item<double>(), 0, 5 * sigma / std::sqrt(count));
    // The variance of a uniform variable's square is 4/45 b^4.
    EXPECT_NEAR(values.square().mean().item<double>(), sigma * sigma,
                5 * bound * bound * std::sqrt(4.0 / 45.0 / count));
    EXPECT_GT(values.max().item<double>(), 0.97 * bound);
    EXPECT_LT(values.min().item<double>(), -0.97 * bound);
  }
}

}  // namespace
}  // namespace atelier::networks
