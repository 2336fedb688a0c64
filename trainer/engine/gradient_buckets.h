// The way of a net's gradients from autograd to their sum over all ranks. A hook on each parameter
// takes the gradient that a backward has just made, puts it into the flat buffer and lets go of it;
// buckets, whole runs of parameters from the last to the first, are summed over the ranks in that
// order on every rank. Parameters that no backward reached get a gradient of zero. Gradients of
// gradients (torch::autograd::grad) pass by: only a backward counts, once. Thread safety: one
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "launch/comm/comm.h"
#include "trainer/engine/config.h"
#include "trainer/engine/flat_parameters.h"

namespace atelier::engine {

class GradientBuckets {
 public:
  /// `net` names the gradients in reports; a bucket holds whole parameters of at least
  /// `bucket_bytes` together. Lifetime: `flat` and `comm` outlive it. Collective: all ranks.
  GradientBuckets(FlatParameters& flat, comm::Comm& comm, std::string net,
                  std::int64_t bucket_bytes, Wire wire = Wire::kFull);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  /// Forgets what was received: the next backward overwrites, those after it add.
  void begin();
  /// Lets every rank see a loss that is not finite, even where its gradient is: the sum's norm will
  /// not be finite either. Shapes: scalar.
  void add_verdict(const at::Tensor& loss);
  /// Zeros what was not received and sums everything over the ranks. Returns the bytes moved.
  /// Collective: all ranks. Throws: CommError.
  std::int64_t finish();

  [[nodiscard]] std::size_t buckets() const { return buckets_.size(); }

 private:
  class Hook;
  struct Bucket {
    std::int64_t begin;  ///< elements of the flat buffer
    std::int64_t end;
  };
  void plan(std::int64_t bucket_bytes);
  void receive(std::size_t slot);

  FlatParameters* flat_;
  comm::Comm* comm_;
  std::string net_;
  std::vector<Bucket> buckets_;  ///< in the order they are summed in
  std::vector<at::Tensor> views_;
  at::Tensor wire_;             ///< what travels, where that is not the flat gradients
  std::vector<char> received_;  ///< by slot
};

}  // namespace atelier::engine
