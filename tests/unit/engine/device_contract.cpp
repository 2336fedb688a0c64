// Training on a device: what it computes must be what the host computes, and the host must not wait
// for it. Compiled into the test program of each kind of device, which says how to get one.
#include "tests/unit/engine/device_contract.h"

#include <limits>

#include <gmock/gmock.h>

#include "launch/comm/self_comm.h"
#include "tests/unit/engine/trajectory.h"
#include "trainer/device/device.h"
#include "trainer/engine/images.h"

namespace atelier::tests {

std::unique_ptr<comm::Comm> on_device() {
  auto comm = device_under_test().comm();
  const device::DeviceConfig config{.tf32 = false, .graphs = device::Graphs::kOn};
  device::configure(device::of(*comm), config, /*deterministic=*/true);
  return comm;
}

namespace {

using objectives::Family;
using testing::HasSubstr;

networks::Style dcgan() {
  return {.architecture = networks::Architecture::kDcgan,
          .normalization = networks::Normalization::kBatch};
}

struct Case {
  std::string name;
  Recipe recipe;
  double tolerance = 1e-5;
};

class Device : public ::testing::TestWithParam<Case> {};

TEST_P(Device, computes_what_a_host_computes) {
  constexpr std::int64_t kSteps = 12;
  const auto comm = on_device();
  Trainee trainee(GetParam().recipe, *comm);
  ASSERT_FALSE(trainee.core().device().is_cpu());

  const auto found = record(trainee, kSteps);
  const bool first = comm->rank() == 0;
  comm->close();

  if (!first) return;
  comm::SelfComm self;
  Trainee alone(GetParam().recipe, self);
  EXPECT_EQ(first_difference(found, record(alone, kSteps), GetParam().tolerance), "");
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Family family : {Family::kAutoencoder, Family::kVae, Family::kGan}) {
    all.push_back({name_of(family), {.family = family}});
  }
  Recipe accumulated{.family = Family::kVae, .accumulation = 2};
  accumulated.overlap = engine::Overlap::kOn;
  all.push_back({"accumulated", accumulated});
  Recipe normalized{.family = Family::kGan, .style = dcgan()};
  all.push_back({"batch_norm", normalized});
  normalized.gan_loss = objectives::GanLoss::kNonSaturating;
  normalized.overlap = engine::Overlap::kOn;
  all.push_back({"batch_norm_kept_graph", normalized});
  Recipe spectral{.family = Family::kGan};
  spectral.style.spectral_norm = true;
  all.push_back({"spectral_norm", spectral});
  Recipe grouped{.family = Family::kAutoencoder};
  grouped.style.normalization = networks::Normalization::kGroup;
  all.push_back({"group_norm", grouped});
  for (const Family family : {Family::kAutoencoder, Family::kVae, Family::kGan}) {
    const Recipe single{.family = family, .precision = engine::Precision::kFloat32};
    all.push_back({name_of(family) + "_float32", single, 2e-3});
  }
  all.push_back({"clipped", {.family = Family::kGan, .clip_norm = 0.05}});
  all.push_back({"adamw", {.optimizer = engine::OptimizerKind::kAdamW}});
  all.push_back({"sgd", {.optimizer = engine::OptimizerKind::kSgd}});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Recipes, Device, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.name; });

TEST(DeviceStep, all_ranks_hold_the_same_bytes_and_a_rerun_gives_them_again) {
  for (const auto precision : {engine::Precision::kFloat32, engine::Precision::kBFloat16}) {
    const Recipe recipe{.family = Family::kGan, .precision = precision, .style = dcgan()};
    std::string first;
    for (int run = 0; run < 2; ++run) {
      const auto comm = on_device();
      Trainee trainee(recipe, *comm);
      static_cast<void>(record(trainee, 6));
      const std::string mine = trainee.bytes();
      std::string of_zero = mine;
      comm->broadcast({of_zero.data(), of_zero.size(), comm::DType::kUInt8}, 0);
      comm->close();
      EXPECT_TRUE(mine == of_zero);
      if (run == 0) first = mine;
      EXPECT_TRUE(mine == first);
    }
  }
}

TEST(DeviceStep, the_host_does_not_wait_for_the_device) {
  for (const bool bfloat16 : {false, true}) {
    const auto comm = on_device();
    Recipe recipe{
        .family = Family::kGan,
        .precision = bfloat16 ? engine::Precision::kBFloat16 : engine::Precision::kFloat32,
        .style = dcgan()};
    Trainee trainee(recipe, *comm);
    static_cast<void>(record(trainee, 2));

    std::vector<std::unique_ptr<Trainee::Batch>> batches;
    for (std::int64_t step = 2; step < 10; ++step) batches.push_back(trainee.batch(step));
    const std::int64_t before = device_under_test().waits_of_host();
    for (const auto& batch : batches) {
      batch->input.read = batch == batches[3];
      static_cast<void>(trainee.core().step(batch->input, [](engine::Stage) {}));
    }
    EXPECT_EQ(device_under_test().waits_of_host() - before, 0);
    comm->close();
  }
}

TEST(DeviceStep, numbers_come_two_steps_later_when_asked_for) {
  const auto comm = on_device();
  Trainee trainee({.family = Family::kVae}, *comm);
  std::vector<std::int64_t> told;
  for (std::int64_t step = 0; step < 6; ++step) {
    const auto batch = trainee.batch(step);
    batch->input.read = step == 1 || step == 5;
    const auto report = trainee.core().step(batch->input, [](engine::Stage) {});
    told.push_back(report.losses.empty() ? -1 : report.step);
  }
  EXPECT_EQ(told, (std::vector<std::int64_t>{-1, -1, -1, 1, -1, -1}));
  const auto last = trainee.core().settle();
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->step, 5);
  comm->close();
}

TEST(DeviceStep, images_are_made_of_bytes_as_on_a_host) {
  const auto comm = on_device();
  const at::Device device = device::of(*comm);
  const at::Tensor bytes = torch::arange(2 * 4 * 4 * 3, torch::kByte).reshape({2, 4, 4, 3});
  const at::Tensor flip = torch::tensor({true, false}).reshape({2, 1, 1, 1});
  const at::Tensor there =
      engine::to_images(bytes.to(device), flip.to(device), torch::kFloat).cpu();
  EXPECT_TRUE(there.allclose(engine::to_images(bytes, flip, torch::kFloat), 1e-6, 1e-6));
  comm->close();
}

class NonFinite : public ::testing::TestWithParam<Family> {};
INSTANTIATE_TEST_SUITE_P(Families, NonFinite, ::testing::Values(Family::kVae, Family::kGan),
                         [](const auto& test) { return name_of(test.param); });

TEST_P(NonFinite, values_change_nothing_and_are_named_when_they_come_again) {
  const auto comm = on_device();
  Trainee trainee({.family = GetParam()}, *comm);
  static_cast<void>(record(trainee, 2));
  const std::string before = trainee.bytes();

  const auto poisoned = [&](std::int64_t step) {
    auto batch = trainee.batch(step);
    if (comm->rank() == comm->world() - 1) {
      batch->images_NCHW[0][0].fill_(std::numeric_limits<float>::quiet_NaN());
    }
    return batch;
  };
  const auto first = poisoned(2);
  static_cast<void>(trainee.core().step(first->input, [](engine::Stage) {}));
  const auto seen = trainee.core().settle();
  ASSERT_TRUE(seen.has_value());
  EXPECT_EQ(seen->skipped, 1);
  const bool other_net = GetParam() == Family::kGan;  // whose update is right whatever D's was
  EXPECT_TRUE(other_net || trainee.bytes() == before);

  const auto again = poisoned(3);
  const auto report = trainee.core().step(again->input, [](engine::Stage) {});
  EXPECT_EQ(report.skipped, 1);
  ASSERT_EQ(report.non_finite.size(), 1U);
  EXPECT_THAT(engine::describe(report.non_finite[0]), HasSubstr("the images of micro-batch 0"));
  EXPECT_EQ(report.non_finite[0].rank, comm->world() - 1);
  EXPECT_TRUE(other_net || trainee.bytes() == before);
  comm->close();
}

}  // namespace
}  // namespace atelier::tests
