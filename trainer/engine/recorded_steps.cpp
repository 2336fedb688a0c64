#include "trainer/engine/recorded_steps.h"

#include <algorithm>
#include <utility>

#include "launch/base/error.h"
#include "launch/comm/together.h"
#include "trainer/parallel/tensor_buffer.h"

namespace atelier::engine {
namespace {

bool alike(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() && a.strides() == b.strides();
}

// Whether both ask for the same work; at which step, in which run, does not matter to it.
bool alike(const MicroBatch& a, const MicroBatch& b) {
  objectives::Position at = a.position;
  at.seed = b.position.seed;
  at.step = b.position.step;
  return at == b.position &&
         std::equal(a.images_NCHW.begin(), a.images_NCHW.end(), b.images_NCHW.begin(),
                    b.images_NCHW.end(),
                    [](const at::Tensor& x, const at::Tensor& y) { return alike(x, y); });
}

// The number of batches where there is none.
std::size_t index_of(const std::vector<MicroBatch>& batches, const objectives::Position& at) {
  const auto found = std::find_if(batches.begin(), batches.end(),
                                  [&](const MicroBatch& batch) { return batch.position == at; });
  return static_cast<std::size_t>(found - batches.begin());
}

}  // namespace

// The time of a recording.
class RecordedSteps::Scope {
 public:
  Scope(RecordedSteps& steps, Kind& kind) : steps_(&steps), kind_(&kind) {
    steps.comm_->begin_recording();
    steps.recording_ = &kind;
    steps.noise_asked_ = 0;
  }
  ~Scope() {
    steps_->recording_ = nullptr;
    kind_->calls = steps_->comm_->end_recording();
  }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  RecordedSteps* steps_;
  Kind* kind_;
};

RecordedSteps::RecordedSteps(comm::Comm& comm, at::Device device, objectives::Noise draw)
    : comm_(&comm), device_(device), draw_(std::move(draw)) {}

StepOnDevice RecordedSteps::ask(const StepInput& input, std::int64_t variant, const Work& work) {
  Kind* const kind = find(input, variant);
  if (kind == nullptr) return meet(input, variant, work);
  if (!kind->recording && !record(*kind, input, work)) return work(input);
  return repeat(*kind, input);
}

RecordedSteps::Kind* RecordedSteps::find(const StepInput& input, std::int64_t variant) {
  const auto found = std::find_if(kinds_.begin(), kinds_.end(), [&](const auto& kind) {
    return kind->variant == variant &&
           std::equal(kind->micro_batches.begin(), kind->micro_batches.end(),
                      input.micro_batches.begin(), input.micro_batches.end(),
                      [](const MicroBatch& a, const MicroBatch& b) { return alike(a, b); });
  });
  return found == kinds_.end() ? nullptr : found->get();
}

StepOnDevice RecordedSteps::meet(const StepInput& input, std::int64_t variant, const Work& work) {
  auto kind = std::make_unique<Kind>();
  kind->variant = variant;
  for (const MicroBatch& batch : input.micro_batches) {
    std::vector<at::Tensor>& places = kind->images_NCHW.emplace_back();
    for (const at::Tensor& images : batch.images_NCHW) places.push_back(at::empty_like(images));
    kind->micro_batches.push_back({.position = batch.position});
  }
  for (std::size_t i = 0; i < kind->images_NCHW.size(); ++i) {
    kind->micro_batches[i].images_NCHW = kind->images_NCHW[i];
  }
  met_ = std::move(kind);
  StepOnDevice step = work(input);
  kinds_.push_back(std::move(met_));
  return step;
}

bool RecordedSteps::record(Kind& kind, const StepInput& input, const Work& work) {
  StepInput still = input;
  still.micro_batches = kind.micro_batches;
  still.read = true;
  try {
    const Scope scope(*this, kind);
    kind.recording = device::record(device_, [&] { kind.step = work(still); });
  } catch (const DeviceError& error) {
    refusal_ = error.what();
  }
  // All ranks go on in the same way, and know why.
  for (const std::string& of_rank : comm::gather_texts(*comm_, refusal_)) {
    if (refusal_.empty()) refusal_ = of_rank;
  }
  return refusal_.empty();
}

StepOnDevice RecordedSteps::repeat(Kind& kind, const StepInput& input) {
  for (std::size_t i = 0; i < kind.images_NCHW.size(); ++i) {
    for (std::size_t k = 0; k < kind.images_NCHW[i].size(); ++k) {
      kind.images_NCHW[i][k].copy_(input.micro_batches[i].images_NCHW[k]);
    }
  }
  for (const Noise& noise : kind.noise) {
    const objectives::Position& at = input.micro_batches[noise.micro_batch].position;
    at::Tensor place = noise.place;
    place.copy_(draw_(at, noise.stream, place.size(1), place.scalar_type()));
  }
  comm_->replay(
      kind.calls, [&] { kind.recording->replay(); },
      parallel::call_options(kind.step.numbers, "recorded step"));
  StepOnDevice step = kind.step;
  step.report.step = input.micro_batches.front().position.step;
  return step;
}

at::Tensor RecordedSteps::noise(const objectives::Position& at, Stream stream, std::int64_t dims,
                                at::ScalarType type) {
  if (recording_ != nullptr) return place_of_noise(at, stream, dims);
  at::Tensor drawn = draw_(at, stream, dims, type);
  if (met_) {
    met_->noise.push_back({index_of(met_->micro_batches, at), stream, at::empty_like(drawn)});
  }
  return drawn;
}

at::Tensor RecordedSteps::place_of_noise(const objectives::Position& at, Stream stream,
                                         std::int64_t dims) {
  const std::size_t next = noise_asked_++;
  if (next < recording_->noise.size()) {
    const Noise& noise = recording_->noise[next];
    if (noise.micro_batch == index_of(recording_->micro_batches, at) &&
        noise.micro_batch < recording_->micro_batches.size() && noise.stream == stream &&
        noise.place.size(1) == dims) {
      return noise.place;
    }
  }
  throw DeviceError("A step asks for other noise than the one before.");
}

}  // namespace atelier::engine
