#include "trainer/engine/device_numbers.h"

#include <algorithm>

#include <c10/core/impl/VirtualGuardImpl.h>

#include "trainer/parallel/tensor_buffer.h"

namespace atelier::engine {
namespace {

// For a device that hangs by itself: what waits for other ranks has deadlines in Comm.
constexpr std::chrono::minutes kDeadline{10};

}  // namespace

DeviceNumbers::DeviceNumbers(comm::Comm& comm, at::Device device)
    : comm_(&comm),
      device_(device),
      skipped_(torch::zeros({}, torch::TensorOptions(torch::kDouble).device(device))) {}

std::optional<StepReport> DeviceNumbers::catch_up() {
  return pending_.size() < static_cast<std::size_t>(kAhead) ? std::nullopt : take_oldest();
}

void DeviceNumbers::begin() {
  losses_.clear();
  norms_.clear();
  finite_.clear();
}

void DeviceNumbers::add_update(std::size_t net, const at::Tensor& gradient_norm,
                               const at::Tensor& parameter_norm) {
  norms_.resize(std::max(norms_.size(), 2 * net + 2));
  norms_[2 * net] = gradient_norm;
  norms_[2 * net + 1] = parameter_norm;
  finite_.push_back(torch::isfinite(gradient_norm));
}

at::Tensor DeviceNumbers::gather(bool read) {
  const torch::NoGradGuard no_grad;
  skipped_.add_(torch::stack(finite_).all().logical_not());
  if (!read) return {};
  std::vector<at::Tensor> all;
  for (const at::Tensor& loss : losses_) all.push_back(loss.to(torch::kDouble));
  for (const at::Tensor& norm : norms_) all.push_back(norm);
  all.push_back(skipped_);
  return torch::stack(all);
}

void DeviceNumbers::add_step(StepOnDevice step) {
  Pending pending{.done = c10::Event(device_.type()), .report = {}, .numbers = {}};
  if (step.numbers.defined()) {
    sum_losses(step);
    pending.numbers.emplace(step.numbers);
  }
  pending.report = std::move(step.report);
  pending.done.record(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
  pending_.push_back(std::move(pending));
}

void DeviceNumbers::sum_losses(const StepOnDevice& step) {
  const auto& losses = step.report.losses;
  const auto present = std::count_if(losses.begin(), losses.end(),
                                     [](const LossValue& loss) { return loss.present; });
  if (comm_->world() == 1 || present == 0) return;
  const at::Tensor shares = step.numbers.narrow(0, 0, present);
  comm_->all_reduce(parallel::buffer_of(shares), comm::ReduceOp::kSum,
                    parallel::call_options(shares, "losses of the step"));
}

std::optional<StepReport> DeviceNumbers::take_oldest() {
  Pending step = std::move(pending_.front());
  pending_.pop_front();
  device::await(step.done, kDeadline);
  if (!step.numbers) return std::nullopt;
  const at::Tensor& numbers = step.numbers->values(kDeadline);
  const auto* next = numbers.const_data_ptr<double>();
  for (LossValue& loss : step.report.losses) {
    if (loss.present) loss.value = *next++;
  }
  for (NetValue& net : step.report.nets) {
    net.gradient_norm = *next++;
    net.parameter_norm = *next++;
  }
  step.report.skipped = static_cast<std::int64_t>(*next - skipped_before_);
  skipped_before_ = *next;
  return std::move(step.report);
}

std::optional<StepReport> DeviceNumbers::settle() {
  std::optional<StepReport> last;
  while (!pending_.empty()) {
    if (auto report = take_oldest()) {
      report->skipped += last ? last->skipped : 0;
      last = std::move(report);
    }
  }
  return last;
}

}  // namespace atelier::engine
