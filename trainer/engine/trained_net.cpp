#include "trainer/engine/trained_net.h"

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::engine {
namespace {

// Until measured.
BucketPlan plan_of(const OptimizerConfig& config) {
  BucketPlan plan{.overlap = config.overlap == Overlap::kOn};
  if (config.bucket_bytes > 0) plan.bytes = config.bucket_bytes;
  return plan;
}

}  // namespace

TrainedNet::TrainedNet(const objectives::NamedNet& named, at::ScalarType type, comm::Comm& comm,
                       const OptimizerConfig& config)
    : name_(named.name),
      flat_(*named.net, type, comm),
      gradients_(flat_, comm, named.name, plan_of(config), config.wire),
      config_(config.of_net(named.name)) {
  if (flat_.gradients().is_cpu()) {
    on_host_ = make_optimizer(config_, flat_.gradients());
  } else {
    on_device_ = std::make_unique<DeviceOptimizer>(config_, flat_.gradients());
  }
  if (named.averaged) average_ = flat_.weights().clone();
}

double TrainedNet::update(double learning_rate, double gradient_norm, double average_decay) {
  const torch::NoGradGuard no_grad;
  const bool too_long = config_.clip_norm > 0 && gradient_norm > config_.clip_norm;
  return on_host_->update(flat_, average_,
                          {.learning_rate = learning_rate,
                           .gradient_scale = too_long ? config_.clip_norm / gradient_norm : 1.0,
                           .average_decay = average_decay});
}

at::Tensor TrainedNet::update(const DeviceStep& step) {
  const torch::NoGradGuard no_grad;
  return on_device_->update(flat_, average_, step);
}

Optimizer& TrainedNet::optimizer() const {
  return on_host_ ? static_cast<Optimizer&>(*on_host_) : *on_device_;
}

void TrainedNet::copy_frozen_to_average() {
  if (!averaged() || !flat_.has_frozen()) return;
  average_.narrow(0, flat_.trained().numel(), flat_.frozen().numel()).copy_(flat_.frozen());
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
  std::vector<StateTensor> state;
  for (const Optimizer::Moment& moment : optimizer().moments()) {
    const std::string prefix = text(name_, ".", moment.name, ".");
    for (StateTensor& view : named_views(moment.value, prefix, flat_.trained_slots())) {
      state.push_back(std::move(view));
    }
  }
  state.push_back({name_ + ".steps", optimizer().steps()});
  return state;
}

std::vector<at::Tensor> TrainedNet::everything() const {
  std::vector<at::Tensor> all{flat_.weights(), optimizer().steps()};
  for (const Optimizer::Moment& moment : optimizer().moments()) all.push_back(moment.value);
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
  flat_.weights_changed();
}

void TrainedNet::swap_average() {
  const torch::NoGradGuard no_grad;
  const at::Tensor weights = flat_.weights().clone();
  flat_.weights().copy_(average_);
  average_.copy_(weights);
}

AverageScope::AverageScope(std::vector<std::unique_ptr<TrainedNet>>& nets) : nets_(&nets) {
  for (const auto& net : nets) {
    computed_in_.push_back(net->flat().computes_in());
    rounded_.push_back(net->flat().rounded());
    net->flat().compute_in(net->flat().weights().scalar_type());
  }
  swap_all();
}

AverageScope::~AverageScope() {
  swap_all();
  for (std::size_t i = 0; i < nets_->size(); ++i) {
    (*nets_)[i]->flat().compute_in(computed_in_[i], rounded_[i]);
  }
}

void AverageScope::swap_all() {
  for (const auto& net : *nets_) {
    if (net->averaged()) net->swap_average();
  }
}

}  // namespace atelier::engine
