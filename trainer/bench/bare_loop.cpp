#include "trainer/bench/bare_loop.h"

#include "trainer/engine/autocast.h"

namespace atelier::bench {
namespace {

constexpr double kAverageStep = 1e-3;

}  // namespace

BareLoop::BareLoop(objectives::Objective& objective, comm::Comm& comm,
                   const engine::OptimizerConfig& optimizer, engine::Precision precision)
    : objective_(&objective),
      reducer_(comm),
      optimizer_(optimizer),
      bfloat16_(precision == engine::Precision::kBFloat16) {
  const torch::NoGradGuard no_grad;
  for (const objectives::NamedNet& named : objective.nets()) {
    Trained net;
    net.named = named;
    for (at::Tensor& parameter : named.net->parameters()) {
      if (!parameter.requires_grad()) continue;
      if (parameter.dim() == 4) {
        parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
      }
      net.weights.push_back(parameter);
      net.first_moments.push_back(torch::zeros_like(parameter));
      net.second_moments.push_back(torch::zeros_like(parameter));
      net.steps.push_back(torch::zeros({}));
      if (named.averaged) net.averages.push_back(parameter.detach().clone());
    }
    nets_.push_back(std::move(net));
  }
}

void BareLoop::step(const engine::MicroBatch& batch) {
  for (const objectives::Phase& phase : objective_->phases()) {
    for (Trained& net : nets_) {
      const bool trained = net.named.name == phase.net || net.named.name == phase.graph_of;
      net.named.net->train();
      for (at::Tensor& weight : net.weights) weight.requires_grad_(trained);
    }
    objectives::Losses losses;
    {
      const engine::AutocastScope autocast(bfloat16_, at::kCPU);
      losses = objective_->losses(
          phase, {.images_NCHW = batch.images_NCHW[static_cast<std::size_t>(phase.image_stream)],
                  .position = batch.position,
                  .batch = reducer_});
    }
    losses.total.backward();
    for (Trained& net : nets_) {
      if (net.named.name == phase.net) update(net);
    }
  }
}

void BareLoop::update(Trained& net) {
  const torch::NoGradGuard no_grad;
  const engine::OptimizerConfig own = optimizer_.of_net(net.named.name);
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& weight : net.weights) gradients.push_back(weight.grad());
  at::_foreach_add_(net.steps, 1);
  at::_fused_adam_(net.weights, gradients, net.first_moments, net.second_moments, {}, net.steps,
                   own.learning_rate, own.beta1, own.beta2, own.weight_decay, own.epsilon, false,
                   false);
  if (!net.averages.empty()) at::_foreach_lerp_(net.averages, net.weights, kAverageStep);
  for (at::Tensor& weight : net.weights) weight.mutable_grad().reset();
}

}  // namespace atelier::bench
