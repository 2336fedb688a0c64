#include "trainer/loop/replicas.h"

#include "launch/base/clock.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::loop {

std::vector<checkpoints::ReplicaPart> replica_parts(engine::Engine& engine) {
  std::vector<checkpoints::ReplicaPart> parts;
  const auto add = [&](const char* kind, const std::vector<engine::StateTensor>& tensors) {
    for (const engine::StateTensor& tensor : tensors) {
      const at::Tensor& value = tensor.value;  // a view without gaps, in whatever order
      ATELIER_CHECK(value.is_non_overlapping_and_dense(), tensor.name);
      parts.push_back(
          {text(kind, tensor.name), {static_cast<std::byte*>(value.data_ptr()), value.nbytes()}});
    }
  };
  for (const auto& net : engine.nets()) {
    add("", net->weight_state());
    add("the average of ", net->average_state());
    add("the optimizer's ", net->optimizer_state());
  }
  return parts;
}

void check_replicas(engine::Engine& engine, comm::Comm& comm, Log& log, ReplicaPolicy policy,
                    std::int64_t step, monitoring::Metrics& metrics) {
  using monitoring::Family;
  const auto parts = replica_parts(engine);
  const checkpoints::ReplicaVerdict verdict = checkpoints::compare_replicas(comm, parts);
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
  checkpoints::heal_replicas(comm, parts, verdict);
  for (const auto& net : engine.nets()) net->flat().weights_changed();
  if (comm.rank() != 0) return;
  log.warn(text(found, " It got the state of rank ", verdict.healthy,
                "; look at its memory and processor."));
}

}  // namespace atelier::loop
