// Steps that a device repeats from recordings give the numbers of steps that it is asked for
// operation by operation; what cannot be repeated, or would be wrong, is found out. Compiled into
// the test program of each kind of device.
#include <optional>

#include <gmock/gmock.h>

#include "tests/unit/engine/device_contract.h"
#include "tests/unit/engine/trajectory.h"
#include "trainer/engine/trials.h"

namespace atelier::tests {
namespace {

using objectives::Family;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::int64_t kSteps = 12;  // the penalties of every fourth are met, recorded, repeated

struct Case {
  std::string name;
  Recipe recipe;
};

class RecordedSteps : public ::testing::TestWithParam<Case> {};

struct Steps {
  std::vector<engine::LossValue> losses;
  std::string bytes;
};

Steps steps_of(const Recipe& recipe, bool recorded) {
  const auto comm = on_device();
  Trainee trainee(recipe, *comm);
  trainee.core().record_steps(recorded);
  Steps made;
  for (std::int64_t step = 0; step < kSteps; ++step) {
    const engine::StepReport report = trainee.step(step);
    EXPECT_THAT(report.not_recorded, IsEmpty());
    made.losses.insert(made.losses.end(), report.losses.begin(), report.losses.end());
    // Nets go elsewhere and come back, as for a picture.
    if (step % 5 == 4) const engine::AverageScope averages(trainee.core().nets());
  }
  made.bytes = trainee.bytes();
  trainee.core().record_steps(false);
  comm->close();
  return made;
}

TEST_P(RecordedSteps, give_the_bits_of_steps_that_are_not) {
  const Steps asked = steps_of(GetParam().recipe, false);
  const Steps repeated = steps_of(GetParam().recipe, true);
  EXPECT_EQ(first_difference(repeated.losses, asked.losses, 0), "");
  EXPECT_TRUE(repeated.bytes == asked.bytes);
}

std::vector<Case> cases() {
  constexpr auto kFloat32 = engine::Precision::kFloat32;
  constexpr auto kBFloat16 = engine::Precision::kBFloat16;
  const networks::Style dcgan{.architecture = networks::Architecture::kDcgan,
                              .normalization = networks::Normalization::kBatch};
  std::vector<Case> all;
  for (const Family family : {Family::kAutoencoder, Family::kVae, Family::kGan}) {
    all.push_back({name_of(family), {.family = family, .precision = kFloat32}});
  }
  Recipe kept{.family = Family::kGan, .precision = kBFloat16, .style = dcgan};
  kept.gan_loss = objectives::GanLoss::kNonSaturating;
  kept.overlap = engine::Overlap::kOn;
  all.push_back({"kept_graph_bfloat16", kept});
  Recipe local{.family = Family::kGan, .precision = kBFloat16, .accumulation = 2, .style = dcgan};
  local.statistics = engine::BatchStatistics::kLocal;
  local.clip_norm = 0.05;
  all.push_back({"accumulated_local_clipped", local});
  Recipe spectral{.family = Family::kGan, .precision = kFloat32};
  spectral.style.spectral_norm = true;
  all.push_back({"spectral_norm", spectral});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Recipes, RecordedSteps, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.name; });

TEST(RecordedStep, the_host_does_not_wait_for_the_device) {
  const auto comm = on_device();
  Trainee trainee({.family = Family::kGan, .precision = engine::Precision::kFloat32}, *comm);
  trainee.core().record_steps(true);
  static_cast<void>(record(trainee, 9));  // all kinds have been repeated

  std::vector<std::unique_ptr<Trainee::Batch>> batches;
  for (std::int64_t step = 9; step < 17; ++step) batches.push_back(trainee.batch(step));
  const std::int64_t before = device_under_test().waits_of_host();
  for (const auto& batch : batches) {
    static_cast<void>(trainee.core().step(batch->input, [](engine::Stage) {}));
  }
  EXPECT_EQ(device_under_test().waits_of_host() - before, 0);
  trainee.core().record_steps(false);
  comm->close();
}

TEST(RecordingTrial, leaves_no_trace_but_its_recordings) {
  const auto comm = on_device();
  Trainee trainee({.family = Family::kGan, .precision = engine::Precision::kBFloat16}, *comm);
  static_cast<void>(record(trainee, 3));
  const std::string before = trainee.bytes();

  const auto trial = engine::try_recordings(trainee.core(), *comm, trainee.batch(3)->input);

  EXPECT_THAT(trial.refusal, IsEmpty());
  EXPECT_GT(trial.asked_seconds, 0);
  EXPECT_GT(trial.repeated_seconds, 0);
  EXPECT_TRUE(trainee.bytes() == before);
  trainee.core().record_steps(false);
  comm->close();
}

// A net of one weight, and what its loss is multiplied by.
struct Weight final : networks::Net {
  Weight() : value(register_parameter("value", torch::ones({1, 1}))) {}
  [[nodiscard]] at::Tensor forward(const at::Tensor& x) override { return x * value; }
  at::Tensor value;
};

class OneWeight final : public objectives::Objective {
 public:
  using Factor = std::function<double(std::int64_t step, const at::Tensor& loss)>;
  explicit OneWeight(Factor factor) : factor_(std::move(factor)) {}
  [[nodiscard]] std::string_view family() const override { return "one weight"; }
  [[nodiscard]] const std::vector<objectives::NamedNet>& nets() const override { return nets_; }
  [[nodiscard]] const std::vector<objectives::Phase>& phases() const override { return phases_; }
  [[nodiscard]] objectives::Losses losses(const objectives::Phase&,
                                          const objectives::PhaseInput& input) override {
    const at::Tensor loss = net_->forward(input.images_NCHW).square().mean();
    const at::Tensor total = loss * factor_(input.position.step, loss);
    return {.total = total, .terms = {{"loss", total.detach()}}};
  }

 private:
  Factor factor_;
  std::shared_ptr<Weight> net_ = std::make_shared<Weight>();
  std::vector<objectives::NamedNet> nets_{{.name = "W", .net = net_, .averaged = false}};
  std::vector<objectives::Phase> phases_{{.net = "W", .image_stream = 0, .terms = {"loss"}}};
};

// What a trial says of it, and how far the weight is after a few more steps.
struct Outcome {
  std::string refusal;
  double weight;
};

Outcome outcome_of(OneWeight objective, bool tried) {
  const auto comm = on_device();
  engine::OptimizerConfig optimizer;
  optimizer.warmup_images = 0;
  engine::Engine engine(objective, *comm, optimizer, engine::Precision::kFloat32);
  const std::vector<at::Tensor> images{torch::ones({2, 1, 1, 1}).to(engine.device())};
  engine::MicroBatch batch{.position = {.local_batch = 2, .global_batch = 2},
                           .images_NCHW = images};
  const engine::StepInput input{.micro_batches = {&batch, 1}, .images_total = 1e9};
  Outcome outcome{};
  if (tried) outcome.refusal = engine::try_recordings(engine, *comm, input).refusal;
  for (; batch.position.step < 4; ++batch.position.step) {
    static_cast<void>(engine.step(input, [](engine::Stage) {}));
    static_cast<void>(engine.settle());
  }
  outcome.weight = engine.nets()[0]->flat().trained().sum().item<double>();
  engine.record_steps(false);
  comm->close();
  return outcome;
}

TEST(RecordingTrial, a_step_that_looks_at_its_numbers_is_asked_for_as_before) {
  const auto looks = [](std::int64_t, const at::Tensor& loss) {
    return loss.item<double>() > 1e6 ? 0.5 : 1.0;
  };

  const Outcome tried = outcome_of(OneWeight(looks), true);

  EXPECT_THAT(tried.refusal, HasSubstr("cannot record"));
  EXPECT_EQ(tried.weight, outcome_of(OneWeight(looks), false).weight);
}

TEST(RecordingTrial, a_step_that_is_another_each_time_without_saying_so_is_found_out) {
  const auto grows = [](std::int64_t step, const at::Tensor&) {
    return 1 + 0.1 * static_cast<double>(step);
  };

  const Outcome tried = outcome_of(OneWeight(grows), true);

  EXPECT_THAT(tried.refusal, HasSubstr("the loss W loss"));
  EXPECT_EQ(tried.weight, outcome_of(OneWeight(grows), false).weight);
}

}  // namespace
}  // namespace atelier::tests
