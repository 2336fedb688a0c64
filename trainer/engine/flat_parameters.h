// All parameters of a net in one buffer. Optimizer, all-reduce, average, norm, hash and checkpoint
// are then one call each on one tensor. The net's parameters become views: 4-D weights in
// channels_last order, each at a 64-byte offset. Gradients have a second buffer of the same layout,
// in memory that the communicator reduces in place; both lie on the device that it belongs to.
// Where the net computes in bfloat16 it sees a rounded copy of its weights, kept up to date by the
// optimizer. Thread safety: one thread.
#pragma once

#include <string>
#include <vector>

#include <torch/torch.h>

#include "launch/comm/comm.h"
#include "trainer/networks/net.h"

namespace atelier::engine {

class FlatParameters {
 public:
  /// Elements at the start of each buffer that belong to no parameter. In gradients they carry the
  /// verdict on the loss (gradient_buckets.h), in weights they are zero.
  static constexpr std::int64_t kVerdict = 16;

  struct Slot {
    std::string name;  ///< as the module tree names it: "encoder.convolutions.0.weight"
    std::int64_t offset;
    std::vector<std::int64_t> shape;
    std::vector<std::int64_t> strides;
  };

  /// Moves the values of `net` into the flat buffer, converted to `type`. Parameters that require
  /// no gradient now are frozen: they come last and have no gradients. Lifetime: shares ownership
  /// of the parameters, not of the net; `comm` outlives it. Collective: all ranks.
  FlatParameters(networks::Net& net, at::ScalarType type, comm::Comm& comm);

  [[nodiscard]] const at::Tensor& weights() const { return weights_; }
  /// Shapes: [trained().numel()].
  [[nodiscard]] const at::Tensor& gradients() const { return gradients_; }
  /// The weights that are not frozen: the first part of weights().
  [[nodiscard]] at::Tensor trained() const { return weights_.narrow(0, 0, gradients_.numel()); }
  [[nodiscard]] bool has_frozen() const { return weights_.numel() > gradients_.numel(); }
  /// Those that are: the last part. Running statistics of normalisations lie there.
  [[nodiscard]] at::Tensor frozen() const {
    return weights_.narrow(0, gradients_.numel(), weights_.numel() - gradients_.numel());
  }
  /// Trained ones first, each group in the order of the module tree.
  [[nodiscard]] const std::vector<Slot>& slots() const { return slots_; }
  [[nodiscard]] std::size_t trained_slots() const { return trained_slots_; }
  [[nodiscard]] at::Tensor& parameter(std::size_t slot) { return parameters_[slot]; }
  [[nodiscard]] std::int64_t parameters() const;  ///< trained ones

  /// The part of `flat` that `slot` names, in the parameter's own shape. `flat` has this layout.
  [[nodiscard]] static at::Tensor view(const at::Tensor& flat, const Slot& slot);

  /// What the net sees of its matrices and convolutions (parameters of two dimensions or more):
  /// the weights, or, for kBFloat16, a rounded copy of them, in `memory` that was rounded() once,
  /// or in new memory. Requires: float32 weights.
  void compute_in(at::ScalarType type, const at::Tensor& memory = {});
  [[nodiscard]] at::ScalarType computes_in() const { return computes_in_; }
  /// The copy, in the layout of weights(); undefined unless the net computes in bfloat16.
  [[nodiscard]] const at::Tensor& rounded() const { return rounded_; }
  /// To be called when weights() were changed by anything but the optimizer.
  void weights_changed();

  /// Whether autograd shall compute gradients for the weights that are not frozen.
  void require_gradients(bool required);

 private:
  std::vector<Slot> slots_;
  std::vector<at::Tensor> parameters_;
  std::size_t trained_slots_ = 0;
  at::ScalarType computes_in_;
  at::Tensor weights_;
  at::Tensor gradients_;
  at::Tensor rounded_;
};

}  // namespace atelier::engine
