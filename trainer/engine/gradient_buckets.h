// The way of a net's gradients from autograd to their sum over all ranks. A hook on each parameter
// takes the gradient that a backward has just made, puts it into the flat buffer and lets go of it;
// buckets, whole runs of parameters from the last to the first, are summed over the ranks in that
// order on every rank: after the backward, or, by plan, each as soon as it is complete, while the
// backward goes on. Parameters that no backward reached get a gradient of zero. Gradients of
// gradients (torch::autograd::grad) pass by: only a backward counts, once. Thread safety: one
// thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "launch/comm/comm.h"
#include "trainer/engine/config.h"
#include "trainer/engine/flat_parameters.h"

namespace atelier::engine {

/// How gradients are summed. No plan changes bits on hosts.
struct BucketPlan {
  std::int64_t bytes = 4 << 20;  ///< a bucket holds whole parameters of at least so much together
  bool overlap = false;          ///< sums run while the backward goes on
};

class GradientBuckets {
 public:
  /// `net` names the gradients in reports. Lifetime: `flat` and `comm` outlive it.
  /// Collective: all ranks.
  GradientBuckets(FlatParameters& flat, comm::Comm& comm, std::string net, BucketPlan plan,
                  Wire wire = Wire::kFull);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  /// From the next begin() on. The same on all ranks.
  void set_plan(BucketPlan plan);
  [[nodiscard]] const BucketPlan& plan() const { return plan_; }

  /// Forgets what was received: the next backward overwrites, those after it add.
  void begin();
  /// The next backward is the last before finish(). Collective: all ranks (by plan).
  void expect_last();
  /// To be called after each backward.
  void end_backward();
  /// Lets every rank see a loss that is not finite, even where its gradient is: the sum's norm will
  /// not be finite either. Shapes: scalar.
  void add_verdict(const at::Tensor& loss);
  /// Zeros what was not received and sums everything over the ranks. Returns the bytes moved.
  /// Collective: all ranks. Throws: CommError.
  std::int64_t finish();

  [[nodiscard]] std::size_t buckets() const { return buckets_.size(); }

  /// When the last backward had each gradient ready, by slot. Units: seconds after expect_last();
  /// 0 for parameters it did not reach.
  [[nodiscard]] const std::vector<double>& ready_seconds() const { return ready_seconds_; }
  /// Time of summing the last `bytes` of what travels, or all of it; gradients are lost.
  /// Units: seconds. Collective: all ranks. Throws: CommError.
  [[nodiscard]] double time_sum(std::int64_t bytes);
  [[nodiscard]] std::int64_t bytes_moved() const;

 private:
  class Hook;
  struct Bucket {
    std::int64_t begin;  ///< elements of the flat buffer
    std::int64_t end;
    std::size_t first_slot;
    std::int64_t parameters;
    std::int64_t missing = 0;  ///< parameters without a gradient yet
  };
  void receive(std::size_t slot);
  /// Into the flat buffer: overwrites at first, adds later.
  void take(std::size_t slot, const at::Tensor& gradient);
  /// Takes all gradients of a bucket that still lie where autograd left them.
  void pack(std::size_t bucket);
  /// Sums the complete buckets that are next in order.
  void launch_ready();
  void launch(std::size_t bucket);
  [[nodiscard]] const at::Tensor& moved() const {
    return wire_.defined() ? wire_ : flat_->gradients();
  }

  FlatParameters* flat_;
  at::Tensor verdict_;  ///< the first elements of the flat gradients
  comm::Comm* comm_;
  std::string net_;
  BucketPlan plan_;
  std::vector<Bucket> buckets_;         ///< in the order they are summed in
  std::vector<std::size_t> bucket_of_;  ///< by slot
  std::vector<at::Tensor> views_;
  at::Tensor wire_;             ///< what travels, where that is not the flat gradients
  std::vector<char> received_;  ///< by slot
  /// By slot: gradients on a device, where one operation that takes many costs as much as one that
  /// takes a single one.
  std::vector<at::Tensor> waiting_;
  bool last_ = false;         ///< no backward will add to what is received now
  std::size_t launched_ = 0;  ///< buckets
  std::chrono::steady_clock::time_point expected_;
  std::vector<double> ready_seconds_;
};

}  // namespace atelier::engine
