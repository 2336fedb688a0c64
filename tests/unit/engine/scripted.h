// An objective whose loss a test writes. Thread safety: one thread.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "trainer/engine/engine.h"

namespace atelier::tests {

/// An objective of one weight vector whose loss the test writes.
class Scripted final : public objectives::Objective {
 public:
  using Loss = std::function<at::Tensor(const at::Tensor&)>;
  explicit Scripted(Loss loss) : loss_(std::move(loss)) {}
  [[nodiscard]] std::string_view family() const override { return "scripted"; }
  [[nodiscard]] const std::vector<objectives::NamedNet>& nets() const override { return nets_; }
  [[nodiscard]] const std::vector<objectives::Phase>& phases() const override { return phases_; }
  [[nodiscard]] objectives::Losses losses(const objectives::Phase&,
                                          const objectives::PhaseInput&) override {
    const at::Tensor total = loss_(net_->weight);
    return {.total = total, .terms = {{"loss", total.detach()}}};
  }

 private:
  struct Vector final : networks::Net {
    Vector() { weight = register_parameter("weight", torch::ones({1, 4})); }
    [[nodiscard]] at::Tensor forward(const at::Tensor& x) override { return x; }
    at::Tensor weight;
  };
  Loss loss_;
  std::shared_ptr<Vector> net_ = std::make_shared<Vector>();
  std::vector<objectives::NamedNet> nets_{{.name = "V", .net = net_, .averaged = true}};
  std::vector<objectives::Phase> phases_{{.net = "V", .image_stream = 0, .terms = {"loss"}}};
};

/// A step of images that the objective does not look at. Collective: all ranks.
inline engine::StepReport step_alone(engine::Engine& engine, std::int64_t global_batch) {
  const at::Tensor images = torch::zeros({1});
  const engine::MicroBatch batch{.position = {.global_batch = global_batch},
                                 .images_NCHW = {&images, 1}};
  return engine.step({.micro_batches = {&batch, 1}, .images_total = 100}, [](engine::Stage) {});
}

}  // namespace atelier::tests
