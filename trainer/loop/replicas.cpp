#include "trainer/loop/replicas.h"

#include "launch/base/clock.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::loop {

ReplicaState::ReplicaState(engine::Engine& engine) : engine_(&engine) {
  const auto add = [&](const char* kind, const std::vector<engine::StateTensor>& tensors) {
    for (const engine::StateTensor& tensor : tensors) {
      // A view without gaps, in whatever order; so is its copy.
      ATELIER_CHECK(tensor.value.is_non_overlapping_and_dense(), tensor.name);
      values_.push_back(tensor.value.detach());
      copies_.push_back(values_.back().to(torch::kCPU));
      const at::Tensor& copy = copies_.back();
      parts_.push_back(
          {text(kind, tensor.name), {static_cast<std::byte*>(copy.data_ptr()), copy.nbytes()}});
    }
  };
  for (const auto& net : engine.nets()) {
    add("", net->weight_state());
    add("the average of ", net->average_state());
    add("the optimizer's ", net->optimizer_state());
  }
}

void ReplicaState::put_back() {
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < values_.size(); ++i) {
    if (!values_[i].is_cpu()) values_[i].copy_(copies_[i]);
  }
  for (const auto& net : engine_->nets()) net->flat().weights_changed();
}

void check_replicas(engine::Engine& engine, comm::Comm& comm, Log& log, ReplicaPolicy policy,
                    std::int64_t step, monitoring::Metrics& metrics) {
  using monitoring::Family;
  ReplicaState state(engine);
  const checkpoints::ReplicaVerdict verdict = checkpoints::compare_replicas(comm, state.parts());
  metrics.add(Family::kReplicaChecks, 1);
  metrics.set(Family::kReplicaDivergentRanks, static_cast<double>(verdict.odd.size()));
  metrics.set(Family::kReplicaCheckTimestamp, SystemClock().unix_seconds());
  if (verdict.equal()) return;
  const std::string found =
      text("The replicas are no longer equal at step ", step, ": ", describe(verdict), ".");
  if (verdict.healthy < 0 || policy == ReplicaPolicy::kStop) {
    throw DeviceError(
        found + (verdict.healthy < 0 ? " No majority tells who is right." : ""),
        "Nothing of this was saved. Look at that machine's memory and processor, then "
        "go on from the last checkpoint with --resume must.");
  }
  checkpoints::heal_replicas(comm, state.parts(), verdict);
  state.put_back();
  if (comm.rank() != 0) return;
  log.warn(text(found, " It got the state of rank ", verdict.healthy,
                "; look at its memory and processor."));
}

}  // namespace atelier::loop
