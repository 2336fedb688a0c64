#include "trainer/engine/trained_net.h"

#include <ATen/ops/_fused_adam.h>

#include "launch/base/error.h"

namespace atelier::engine {

TrainedNet::TrainedNet(const objectives::NamedNet& named, at::ScalarType type, comm::Comm& comm,
                       std::int64_t bucket_bytes)
    : name_(named.name),
      flat_(*named.net, type, comm),
      gradients_(flat_, comm, named.name, bucket_bytes),
      first_moment_(torch::zeros_like(flat_.gradients())),
      second_moment_(torch::zeros_like(flat_.gradients())),
      steps_(torch::zeros({1}, torch::kLong)) {
  if (named.averaged) average_ = flat_.weights().clone();
}

void TrainedNet::update(const OptimizerConfig& config, double learning_rate, double decay) {
  const torch::NoGradGuard no_grad;
  steps_.add_(1);
  at::_fused_adam_({flat_.trained()}, {flat_.gradients()}, {first_moment_}, {second_moment_}, {},
                   {steps_.to(torch::kFloat).squeeze(0)}, learning_rate, config.beta1, config.beta2,
                   /*weight_decay=*/0.0, config.epsilon, /*amsgrad=*/false, /*maximize=*/false);
  if (averaged()) average_.lerp_(flat_.weights(), 1.0 - decay);
}

std::vector<StateTensor> TrainedNet::named_views(const at::Tensor& flat, const std::string& prefix,
                                                 std::size_t slots) const {
  std::vector<StateTensor> views;
  for (std::size_t i = 0; i < slots; ++i) {
    const FlatParameters::Slot& slot = flat_.slots()[i];
    views.push_back({prefix + slot.name, FlatParameters::view(flat, slot)});
  }
  return views;
}

std::vector<StateTensor> TrainedNet::weight_state() const {
  return named_views(flat_.weights(), name_ + ".", flat_.slots().size());
}

std::vector<StateTensor> TrainedNet::average_state() const {
  return averaged() ? named_views(average_, name_ + ".", flat_.slots().size())
                    : std::vector<StateTensor>();
}

std::vector<StateTensor> TrainedNet::optimizer_state() const {
  const std::size_t slots = flat_.trained_slots();
  std::vector<StateTensor> state = named_views(first_moment_, name_ + ".first_moment.", slots);
  for (StateTensor& second : named_views(second_moment_, name_ + ".second_moment.", slots)) {
    state.push_back(std::move(second));
  }
  state.push_back({name_ + ".steps", steps_});
  return state;
}

std::vector<at::Tensor> TrainedNet::everything() const {
  std::vector<at::Tensor> all{flat_.weights(), first_moment_, second_moment_, steps_};
  if (averaged()) all.push_back(average_);
  return all;
}

TrainedNet::Snapshot TrainedNet::snapshot() const {
  Snapshot copy;
  for (const at::Tensor& tensor : everything()) copy.tensors.push_back(tensor.clone());
  return copy;
}

void TrainedNet::restore(const Snapshot& snapshot) {
  const std::vector<at::Tensor> all = everything();
  ATELIER_CHECK(all.size() == snapshot.tensors.size(), "a snapshot of this net");
  for (std::size_t i = 0; i < all.size(); ++i) all[i].copy_(snapshot.tensors[i]);
}

void TrainedNet::swap_average() {
  const torch::NoGradGuard no_grad;
  const at::Tensor weights = flat_.weights().clone();
  flat_.weights().copy_(average_);
  average_.copy_(weights);
}

AverageScope::AverageScope(std::vector<std::unique_ptr<TrainedNet>>& nets) : nets_(&nets) {
  swap_all();
}

AverageScope::~AverageScope() { swap_all(); }

void AverageScope::swap_all() {
  for (const auto& net : *nets_) {
    if (net->averaged()) net->swap_average();
  }
}

}  // namespace atelier::engine
