#include "trainer/engine/gradient_buckets.h"

#include <algorithm>

#include "launch/base/text.h"
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
                                 std::int64_t bucket_bytes, Wire wire)
    : flat_(&flat), comm_(&comm), net_(std::move(net)), received_(flat.trained_slots()) {
  for (std::size_t slot = 0; slot < flat.trained_slots(); ++slot) {
    views_.push_back(FlatParameters::view(flat.gradients(), flat.slots()[slot]));
    torch::autograd::impl::set_post_acc_grad_hooks(flat.parameter(slot),
                                                   std::make_unique<Hook>(*this, slot));
  }
  plan(bucket_bytes);
  if (wire == Wire::kBFloat16 && comm.world() > 1) {
    const std::int64_t elements = flat.gradients().numel();
    constexpr std::size_t kBytes = 2;
    wire_ = torch::from_blob(comm.allocate(static_cast<std::size_t>(elements) * kBytes), {elements},
                             torch::kBFloat16);
  }
}

GradientBuckets::~GradientBuckets() {
  for (std::size_t slot = 0; slot < views_.size(); ++slot) {
    torch::autograd::impl::set_post_acc_grad_hooks(flat_->parameter(slot), nullptr);
  }
}

void GradientBuckets::plan(std::int64_t bucket_bytes) {
  const std::int64_t least = bucket_bytes / flat_->gradients().element_size();
  std::int64_t end = flat_->gradients().numel();
  for (std::size_t slot = flat_->trained_slots(); slot-- > 0;) {
    const std::int64_t begin = slot == 0 ? 0 : flat_->slots()[slot].offset;
    if (slot > 0 && end - begin < least) continue;
    buckets_.push_back({begin, end});
    end = begin;
  }
}

void GradientBuckets::begin() {
  std::fill(received_.begin(), received_.end(), 0);
  flat_->gradients().narrow(0, 0, FlatParameters::kVerdict).zero_();
}

void GradientBuckets::add_verdict(const at::Tensor& loss) {
  flat_->gradients().narrow(0, 0, 1).add_(loss.detach() * 0);
}

void GradientBuckets::receive(std::size_t slot) {
  const torch::NoGradGuard no_grad;
  at::Tensor& gradient = flat_->parameter(slot).mutable_grad();
  if (received_[slot] == 0) {
    views_[slot].copy_(gradient);
  } else {
    views_[slot].add_(gradient);
  }
  received_[slot] = 1;
  gradient.reset();
}

std::int64_t GradientBuckets::finish() {
  for (std::size_t slot = 0; slot < received_.size(); ++slot) {
    if (received_[slot] == 0) views_[slot].zero_();
  }
  if (comm_->world() == 1) return 0;
  const at::Tensor& gradients = flat_->gradients();
  const at::Tensor& moved = wire_.defined() ? wire_ : gradients;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    const auto part = [&](const at::Tensor& flat) {
      return flat.narrow(0, buckets_[i].begin, buckets_[i].end - buckets_[i].begin);
    };
    if (wire_.defined()) part(wire_).copy_(part(gradients));
    const std::string label = text("gradients of ", net_, ", bucket ", i);
    comm_->all_reduce(parallel::buffer_of(part(moved)), comm::ReduceOp::kSum, {.label = label});
    if (wire_.defined()) part(gradients).copy_(part(wire_));
  }
  return static_cast<std::int64_t>(moved.nbytes());
}

}  // namespace atelier::engine
