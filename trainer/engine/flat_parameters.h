// All parameters of a net in one buffer. Optimizer, all-reduce, average, norm, hash and checkpoint
// are then one call each on one tensor. The net's parameters become views: 4-D weights in
// channels_last order, each at a 64-byte offset; gradients live in a second buffer of the same
// layout, where autograd accumulates in place. Thread safety: one thread.
#pragma once

#include <string>
#include <vector>

#include <torch/torch.h>

#include "trainer/networks/net.h"

namespace atelier::engine {

class FlatParameters {
 public:
  struct Slot {
    std::string name;  ///< as the module tree names it: "encoder.convolutions.0.weight"
    std::int64_t offset;
    std::vector<std::int64_t> shape;
    std::vector<std::int64_t> strides;
  };

  /// Moves the values of `net` into the flat buffer, converted to `type`.
  /// Lifetime: shares ownership of the parameters, not of the net.
  FlatParameters(networks::Net& net, at::ScalarType type);

  [[nodiscard]] const at::Tensor& weights() const { return weights_; }
  [[nodiscard]] const at::Tensor& gradients() const { return gradients_; }
  [[nodiscard]] const std::vector<Slot>& slots() const { return slots_; }
  [[nodiscard]] std::int64_t parameters() const;

  /// The part of `flat` that `slot` names, in the parameter's own shape. `flat` has this layout.
  [[nodiscard]] static at::Tensor view(const at::Tensor& flat, const Slot& slot);

  /// Zeros the gradients and re-attaches the views where something has replaced them.
  void clear_gradients();
  /// Whether autograd shall compute gradients for this net's weights.
  void require_gradients(bool required);

 private:
  std::vector<Slot> slots_;
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> gradient_views_;
  at::Tensor weights_;
  at::Tensor gradients_;
};

}  // namespace atelier::engine
