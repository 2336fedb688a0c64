// Choices measured at the start: decided together, leaving no trace, and following the model.
#include "trainer/engine/trials.h"

#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include "launch/comm/host_comm.h"
#include "launch/comm/self_comm.h"
#include "launch/comm/thread_comm.h"
#include "tests/unit/engine/trajectory.h"

namespace atelier::engine {
namespace {

using objectives::Family;
using tests::Trainee;

TEST(ChoosePrecision, decides_together_and_restores_every_bit) {
  std::mutex mutex;
  std::vector<PrecisionTrial> trials;
  comm::run_ranks(2, [&](comm::Comm& comm) {
    Trainee trainee({.family = Family::kGan, .precision = Precision::kFloat32}, comm);
    static_cast<void>(record(trainee, 3));
    const std::string before = trainee.bytes();

    const PrecisionTrial trial = choose_precision(trainee.core(), comm, trainee.batch(3)->input);

    EXPECT_TRUE(trainee.bytes() == before);
    EXPECT_EQ(trainee.core().precision(), trial.chosen);
    EXPECT_EQ(trial.chosen == Precision::kBFloat16, trial.bfloat16_seconds < trial.float32_seconds);
    EXPECT_GT(trial.float32_seconds, 0);
    const std::lock_guard lock(mutex);
    trials.push_back(trial);
  });
  EXPECT_EQ(trials.at(0).float32_seconds, trials.at(1).float32_seconds);
  EXPECT_EQ(trials.at(0).chosen, trials.at(1).chosen);
}

// Two ranks as one sees them whose peer always brings the same, over a wire of a given speed.
class Wired final : public comm::HostComm {
 public:
  explicit Wired(double bytes_per_second) : bytes_per_second_(bytes_per_second) {}
  ~Wired() override { abandon_started(); }
  Wired(const Wired&) = delete;
  Wired& operator=(const Wired&) = delete;
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int world() const override { return 2; }
  [[nodiscard]] int local_rank() const override { return 0; }
  [[nodiscard]] int hosts() const override { return 2; }
  [[nodiscard]] std::string_view backend() const override { return "wired"; }
  void abort(std::string_view, int) override {}

 private:
  void exchange(const Task& task) override {
    if (task.call.kind != comm::CallKind::kAllReduce) return;
    const double seconds = static_cast<double>(task.in_bytes()) / bytes_per_second_;
    if (seconds > 1e-6) std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  }
  double bytes_per_second_;
};

constexpr std::int64_t kLayers = 8;
constexpr std::int64_t kWeights = std::int64_t{1} << 18;  // of a layer: 1 MiB
constexpr auto kBackwardOfLayer = std::chrono::milliseconds(2);

// Hands its input through, and takes its time on the way back.
struct Slow final : torch::autograd::Function<Slow> {
  static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor& x) {
    return x.clone();
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 const torch::autograd::variable_list& gradients) {
    std::this_thread::sleep_for(kBackwardOfLayer);
    return gradients;
  }
};

struct SlowNet final : networks::Net {
  SlowNet() {
    for (std::int64_t i = 0; i < kLayers; ++i) {
      layers.push_back(register_parameter("layer" + std::to_string(i), torch::ones({1, kWeights})));
    }
  }
  [[nodiscard]] at::Tensor forward(const at::Tensor& x) override {
    at::Tensor h = x;
    for (const at::Tensor& weight : layers) h = Slow::apply(h * weight);
    return h;
  }
  std::vector<at::Tensor> layers;
};

class SlowObjective final : public objectives::Objective {
 public:
  [[nodiscard]] std::string_view family() const override { return "slow"; }
  [[nodiscard]] const std::vector<objectives::NamedNet>& nets() const override { return nets_; }
  [[nodiscard]] const std::vector<objectives::Phase>& phases() const override { return phases_; }
  [[nodiscard]] objectives::Losses losses(const objectives::Phase&,
                                          const objectives::PhaseInput&) override {
    if (at::autocast::is_autocast_enabled(at::kCPU)) {
      ++in_bfloat16;
      std::this_thread::sleep_for(bfloat16_takes);
    }
    const at::Tensor total = net_->forward(torch::ones({1, kWeights})).mean();
    return {.total = total, .terms = {{"loss", total.detach()}}};
  }
  int in_bfloat16 = 0;
  std::chrono::milliseconds bfloat16_takes{0};

 private:
  std::shared_ptr<SlowNet> net_ = std::make_shared<SlowNet>();
  std::vector<objectives::NamedNet> nets_{{.name = "S", .net = net_, .averaged = true}};
  std::vector<objectives::Phase> phases_{{.net = "S", .image_stream = 0, .terms = {"loss"}}};
};

TEST(ChoosePrecision, a_hopeless_one_is_tried_once) {
  comm::SelfComm comm;
  SlowObjective objective;
  objective.bfloat16_takes = std::chrono::milliseconds(700);
  Engine engine(objective, comm, {}, Precision::kFloat32);
  const at::Tensor images = torch::zeros({1});
  const MicroBatch batch{.position = {.global_batch = 2}, .images_NCHW = {&images, 1}};

  const PrecisionTrial trial =
      choose_precision(engine, comm, {.micro_batches = {&batch, 1}, .images_total = 100});

  EXPECT_EQ(objective.in_bfloat16, 1);
  EXPECT_GT(trial.bfloat16_seconds, 0.7);
  EXPECT_LT(trial.float32_seconds, 0.7);
  EXPECT_EQ(trial.chosen, Precision::kFloat32);
  EXPECT_EQ(engine.precision(), Precision::kFloat32);
}

OptimizerConfig configured(std::int64_t bucket_bytes, Overlap overlap) {
  OptimizerConfig config;
  config.bucket_bytes = bucket_bytes;
  config.overlap = overlap;
  return config;
}

BucketTrial try_buckets(double bytes_per_second, const OptimizerConfig& config) {
  Wired comm(bytes_per_second);
  SlowObjective objective;
  Engine engine(objective, comm, config, Precision::kFloat32);
  const at::Tensor images = torch::zeros({1});
  const MicroBatch batch{.position = {.global_batch = 2}, .images_NCHW = {&images, 1}};
  const at::Tensor before = engine.nets()[0]->flat().weights().clone();

  const BucketTrial trial =
      choose_buckets(engine, comm, config, {.micro_batches = {&batch, 1}, .images_total = 100});

  EXPECT_TRUE(engine.nets()[0]->flat().weights().equal(before));
  EXPECT_EQ(engine.bucket_plan().overlap, trial.chosen.overlap);
  EXPECT_EQ(engine.bucket_plan().bytes, trial.chosen.bytes);
  return trial;
}

TEST(ChooseBuckets, sums_during_the_backward_where_the_wire_is_slow) {
  const BucketTrial trial = try_buckets(600e6, configured(16384, Overlap::kAuto));

  EXPECT_GT(trial.speed.bytes_per_second, 60e6);
  EXPECT_LT(trial.speed.bytes_per_second, 660e6) << "a sleep is never shorter";
  EXPECT_GT(trial.sum_seconds, 8 * 1.04858e6 / 660e6);
  EXPECT_LT(trial.during_seconds, trial.after_seconds);
  EXPECT_TRUE(trial.chosen.overlap);
  EXPECT_EQ(trial.chosen.bytes, 16384) << "which is pinned";
}

TEST(ChooseBuckets, does_not_try_where_sums_cost_nothing) {
  const BucketTrial trial = try_buckets(1e15, {});

  EXPECT_GT(trial.after_seconds, 0.016);
  EXPECT_EQ(trial.during_seconds, 0);
  EXPECT_FALSE(trial.chosen.overlap);
}

TEST(ChooseBuckets, measures_nothing_that_is_pinned) {
  for (const Overlap overlap : {Overlap::kOff, Overlap::kOn}) {
    const BucketTrial trial = try_buckets(600e6, configured(16384, overlap));

    EXPECT_EQ(trial.after_seconds, 0);
    EXPECT_EQ(trial.chosen.overlap, overlap == Overlap::kOn);
  }
}

TEST(ChooseBuckets, measures_the_size_alone_where_overlap_is_wanted) {
  // A sum of a layer takes as long as its backward: the sooner it starts, the better.
  const BucketTrial trial = try_buckets(600e6, configured(0, Overlap::kOn));

  EXPECT_GT(trial.sum_seconds, 0);
  EXPECT_EQ(trial.during_seconds, 0);
  EXPECT_TRUE(trial.chosen.overlap);
  EXPECT_LE(trial.chosen.bytes, 2 << 20);
}

TEST(BucketModel, sums_hide_behind_the_backward_but_for_the_last) {
  // Four gradients of 10 MB, one a second; a sum takes 0.1 s and 0.5 s for each 10 MB.
  const std::vector<ReadyGradient> gradients{{1, 10e6}, {2, 10e6}, {3, 10e6}, {4, 10e6}};
  const SumSpeed speed{.latency_seconds = 0.1, .bytes_per_second = 20e6};

  EXPECT_NEAR(exposed_seconds(gradients, 1, speed), 0.6, 1e-12);
  EXPECT_NEAR(exposed_seconds(gradients, 20'000'000, speed), 1.1, 1e-12);
  EXPECT_NEAR(exposed_seconds(gradients, 100'000'000, speed), 2.1, 1e-12);
  // Slower than the backward: they queue up. Sums end at 1 + 4 x 2.1.
  const SumSpeed slow{.latency_seconds = 0.1, .bytes_per_second = 5e6};
  EXPECT_NEAR(exposed_seconds(gradients, 1, slow), 1 + 4 * 2.1 - 4, 1e-12);
}

TEST(BucketModel, the_best_size_weighs_latency_against_waiting) {
  std::vector<ReadyGradient> gradients;
  for (int i = 1; i <= 64; ++i) gradients.push_back({0.01 * i, double{1 << 20}});
  const std::vector<ReadyGradients> backwards{gradients};
  const auto best = [&](double latency, double bytes_per_second) {
    return best_bucket_bytes(backwards, {latency, bytes_per_second});
  };

  EXPECT_EQ(best(10, 1e15), 64 << 20) << "one sum, where only their number counts";
  EXPECT_EQ(best(0, 1e15), 64 << 20) << "nor does size matter where sums cost nothing";
  EXPECT_LE(best(1e-5, 200e6), 1 << 20) << "the last sum is what is waited for";
  const std::int64_t between = best(5e-3, 1e9);
  EXPECT_GT(between, 1 << 18);
  EXPECT_LT(between, 64 << 20);
}

}  // namespace
}  // namespace atelier::engine
