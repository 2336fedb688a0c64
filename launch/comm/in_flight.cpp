#include "launch/comm/in_flight.h"

#include <utility>

#include "launch/comm/nccl_checks.h"

namespace atelier::comm {
namespace {

constexpr std::chrono::seconds kStoodStill{1};

}  // namespace

void InFlight::expect(const CallRecord& call, std::chrono::milliseconds timeout) {
  const std::scoped_lock lock(mutex_);
  if (calls_.empty()) since_ = Clock::now();
  calls_.push_back({.record = call, .done = nullptr, .timeout = timeout});
}

void InFlight::not_enqueued() {
  const std::scoped_lock lock(mutex_);
  if (!calls_.empty() && calls_.back().done == nullptr) calls_.pop_back();
}

void InFlight::add(const CallRecord& call, CudaStream stream, std::chrono::milliseconds timeout) {
  const std::scoped_lock lock(mutex_);
  CudaEvent event = nullptr;
  // The newest event may still be waited for by a stream; it is not given away again before
  // another one has taken its place.
  if (spare_.size() > 1) {
    event = spare_.front();
    spare_.erase(spare_.begin());
  } else {
    check_cuda(*cuda_, cuda_->event_create(event), "cudaEventCreateWithFlags");
  }
  check_cuda(*cuda_, cuda_->event_record(event, stream), "cudaEventRecord");
  if (!calls_.empty() && calls_.back().done == nullptr) {
    calls_.back().done = event;
  } else {
    if (calls_.empty()) since_ = Clock::now();
    calls_.push_back({.record = call, .done = event, .timeout = timeout});
  }
  newest_ = event;
}

CudaEvent InFlight::newest() const {
  const std::scoped_lock lock(mutex_);
  return newest_;
}

void InFlight::close() {
  const std::scoped_lock lock(mutex_);
  for (CudaEvent const event : std::exchange(spare_, {})) {
    check_cuda(*cuda_, cuda_->event_destroy(event), "cudaEventDestroy");
  }
}

std::vector<std::uint64_t> InFlight::retire() {
  const std::scoped_lock lock(mutex_);
  std::vector<std::uint64_t> ended;
  while (!calls_.empty() && calls_.front().done != nullptr) {
    const int code = cuda_->event_query(calls_.front().done);
    if (code == kCudaNotReady) break;
    check_cuda(*cuda_, code, "cudaEventQuery");
    ended.push_back(calls_.front().record.sequence);
    spare_.push_back(calls_.front().done);
    calls_.pop_front();
    since_ = Clock::now();
  }
  return ended;
}

std::optional<InFlight::Overdue> InFlight::overdue() {
  const std::scoped_lock lock(mutex_);
  const Clock::time_point now = Clock::now();
  const Clock::time_point last = std::exchange(looked_, now);
  if (calls_.empty()) return std::nullopt;
  if (last > since_ && now - last > kStoodStill) since_ += now - last;
  if (now - since_ < calls_.front().timeout) return std::nullopt;
  return Overdue{.call = calls_.front().record, .timeout = calls_.front().timeout};
}

std::optional<CallRecord> InFlight::oldest() const {
  const std::scoped_lock lock(mutex_);
  return calls_.empty() ? std::nullopt : std::optional(calls_.front().record);
}

std::size_t InFlight::size() const {
  const std::scoped_lock lock(mutex_);
  return calls_.size();
}

}  // namespace atelier::comm
