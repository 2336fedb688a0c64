// bfloat16 for the operations that gain from it, as long as the scope lives. Weights that are
// bfloat16 already (FlatParameters::compute_in) are not cast again. Thread safety: acts on the
// calling thread.
#pragma once

#include <torch/torch.h>

namespace atelier::engine {

class AutocastScope {
 public:
  AutocastScope(bool enabled, at::DeviceType device);
  ~AutocastScope();
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  bool enabled_;
  at::DeviceType device_;
};

}  // namespace atelier::engine
