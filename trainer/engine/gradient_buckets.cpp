#include "trainer/engine/gradient_buckets.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "launch/base/text.h"
#include "trainer/device/device.h"
#include "trainer/parallel/tensor_buffer.h"

namespace atelier::engine {

class GradientBuckets::Hook final : public torch::autograd::PostAccumulateGradHook {
 public:
  Hook(GradientBuckets& buckets, std::size_t slot) : buckets_(&buckets), slot_(slot) {}
  void operator()(const torch::autograd::Variable& /*parameter*/) override {
    buckets_->receive(slot_);
  }

 private:
  GradientBuckets* buckets_;
  std::size_t slot_;
};

GradientBuckets::GradientBuckets(FlatParameters& flat, comm::Comm& comm, std::string net,
                                 BucketPlan plan, Wire wire)
    : flat_(&flat),
      verdict_(flat.gradients().narrow(0, 0, FlatParameters::kVerdict)),
      comm_(&comm),
      net_(std::move(net)),
      bucket_of_(flat.trained_slots()),
      received_(flat.trained_slots()),
      waiting_(flat.trained_slots()),
      ready_seconds_(flat.trained_slots()) {
  for (std::size_t slot = 0; slot < flat.trained_slots(); ++slot) {
    views_.push_back(FlatParameters::view(flat.gradients(), flat.slots()[slot]));
    torch::autograd::impl::set_post_acc_grad_hooks(flat.parameter(slot),
                                                   std::make_unique<Hook>(*this, slot));
  }
  set_plan(plan);
  if (wire == Wire::kBFloat16 && comm.world() > 1) {
    const std::int64_t elements = flat.gradients().numel();
    constexpr std::size_t kBytes = 2;
    wire_ = device::view_of(comm.allocate(static_cast<std::size_t>(elements) * kBytes), elements,
                            torch::kBFloat16, flat.gradients().device());
  }
}

GradientBuckets::~GradientBuckets() {
  for (std::size_t slot = 0; slot < views_.size(); ++slot) {
    torch::autograd::impl::set_post_acc_grad_hooks(flat_->parameter(slot), nullptr);
  }
}

void GradientBuckets::set_plan(BucketPlan plan) {
  plan_ = plan;
  buckets_.clear();
  const std::int64_t least = plan.bytes / flat_->gradients().element_size();
  std::int64_t end = flat_->gradients().numel();
  std::int64_t parameters = 0;
  for (std::size_t slot = flat_->trained_slots(); slot-- > 0;) {
    bucket_of_[slot] = buckets_.size();
    ++parameters;
    // The verdict travels with the first parameters.
    const std::int64_t begin = slot == 0 ? 0 : flat_->slots()[slot].offset;
    if (slot > 0 && end - begin < least) continue;
    buckets_.push_back({.begin = begin, .end = end, .first_slot = slot, .parameters = parameters});
    end = begin;
    parameters = 0;
  }
}

void GradientBuckets::begin() {
  // Of a backward that threw: its sums still own the buffer.
  if (comm_->world() > 1) comm_->finish_started();
  std::fill(received_.begin(), received_.end(), 0);
  std::fill(waiting_.begin(), waiting_.end(), at::Tensor());
  verdict_.zero_();
  last_ = false;
  launched_ = 0;
}

void GradientBuckets::expect_last() {
  last_ = true;
  for (Bucket& bucket : buckets_) bucket.missing = bucket.parameters;
  std::fill(ready_seconds_.begin(), ready_seconds_.end(), 0);
  expected_ = std::chrono::steady_clock::now();
}

void GradientBuckets::add_verdict(const at::Tensor& loss) {
  // 0, or NaN. A host can look, which is less than an addition costs.
  if (loss.is_cpu() && std::isfinite(loss.item<double>())) return;
  verdict_.narrow(0, 0, 1).add_(loss.detach() * 0);
}

void GradientBuckets::receive(std::size_t slot) {
  const torch::NoGradGuard no_grad;
  at::Tensor& gradient = flat_->parameter(slot).mutable_grad();
  if (gradient.is_cpu()) {
    take(slot, gradient);
  } else {
    waiting_[slot] = gradient;
  }
  gradient.reset();
  if (!last_) return;
  const auto now = std::chrono::steady_clock::now();
  ready_seconds_[slot] = std::chrono::duration<double>(now - expected_).count();
  --buckets_[bucket_of_[slot]].missing;
  if (plan_.overlap && comm_->world() > 1) launch_ready();
}

void GradientBuckets::take(std::size_t slot, const at::Tensor& gradient) {
  const at::Tensor& view = views_[slot];
  if (received_[slot] != 0) {
    view.add_(gradient);
  } else if (gradient.scalar_type() == view.scalar_type() && gradient.strides() == view.strides()) {
    std::memcpy(view.mutable_data_ptr(), gradient.const_data_ptr(), gradient.nbytes());
  } else {
    view.copy_(gradient);
  }
  received_[slot] = 1;
}

void GradientBuckets::pack(std::size_t bucket) {
  if (flat_->gradients().is_cpu()) return;  // taken already
  const torch::NoGradGuard no_grad;
  std::vector<at::Tensor> first, later, views, more;
  const std::size_t begin = buckets_[bucket].first_slot;
  for (std::size_t i = 0; i < static_cast<std::size_t>(buckets_[bucket].parameters); ++i) {
    const std::size_t slot = begin + i;
    if (!waiting_[slot].defined()) continue;
    const bool overwrites = received_[slot] == 0;
    (overwrites ? first : later).push_back(std::exchange(waiting_[slot], {}));
    (overwrites ? views : more).push_back(views_[slot]);
    received_[slot] = 1;
  }
  if (!first.empty()) at::_foreach_copy_(views, first);
  if (!later.empty()) at::_foreach_add_(more, later);
}

void GradientBuckets::end_backward() {
  for (std::size_t bucket = launched_; bucket < buckets_.size(); ++bucket) pack(bucket);
}

void GradientBuckets::launch_ready() {
  while (launched_ < buckets_.size() && buckets_[launched_].missing == 0) launch(launched_);
}

void GradientBuckets::launch(std::size_t bucket) {
  const std::int64_t begin = buckets_[bucket].begin;
  const std::int64_t size = buckets_[bucket].end - begin;
  pack(bucket);
  if (wire_.defined())
    wire_.narrow(0, begin, size).copy_(flat_->gradients().narrow(0, begin, size));
  const comm::Buffer data = parallel::buffer_of(moved().narrow(0, begin, size));
  const std::string label = text("gradients of ", net_, ", bucket ", bucket);
  const comm::CallOptions options = parallel::call_options(flat_->gradients(), label);
  if (plan_.overlap) {
    comm_->start_all_reduce(data, comm::ReduceOp::kSum, options);
  } else {
    comm_->all_reduce(data, comm::ReduceOp::kSum, options);
  }
  launched_ = bucket + 1;
}

std::int64_t GradientBuckets::finish() {
  end_backward();
  for (std::size_t slot = 0; slot < received_.size(); ++slot) {
    if (received_[slot] == 0) views_[slot].zero_();
  }
  if (comm_->world() == 1) return 0;
  while (launched_ < buckets_.size()) launch(launched_);
  comm_->finish_started();
  if (wire_.defined()) flat_->gradients().copy_(wire_);
  last_ = false;
  return bytes_moved();
}

std::int64_t GradientBuckets::bytes_moved() const {
  return static_cast<std::int64_t>(moved().nbytes());
}

double GradientBuckets::time_sum(std::int64_t bytes) {
  const std::int64_t all = moved().numel();
  const std::int64_t elements = std::min(all, bytes / moved().element_size());
  const comm::Buffer data = parallel::buffer_of(moved().narrow(0, all - elements, elements));
  device::synchronize(flat_->gradients().device());
  comm_->barrier({.label = "before a timed sum"});
  const auto start = std::chrono::steady_clock::now();
  comm_->all_reduce(data, comm::ReduceOp::kSum,
                    parallel::call_options(flat_->gradients(), "timed sum"));
  comm_->synchronize();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace atelier::engine
