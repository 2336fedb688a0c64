#include "trainer/engine/rehearsal.h"

#include <algorithm>
#include <chrono>
#include <exception>

namespace atelier::engine {
namespace {

// Behind the best step; more than what the first steps of a setting spend on being the first.
constexpr double kHopelessTimes = 3;
constexpr double kHopelessSeconds = 0.5;

}  // namespace

void take_from_rank_zero(comm::Comm& comm, std::span<double> numbers) {
  comm.broadcast({numbers.data(), numbers.size(), comm::DType::kFloat64}, 0,
                 {.label = "measured choice"});
}

Rehearsal::Rehearsal(Engine& engine, const StepInput& input)
    : engine_(engine),
      input_(input),
      batches_(input.micro_batches.begin(), input.micro_batches.end()) {
  for (const MicroBatch& batch : batches_) {
    std::vector<at::Tensor>& mirrored = mirrored_.emplace_back();
    for (const at::Tensor& images : batch.images_NCHW) mirrored.push_back(images.flip({-1}));
  }
  for (const auto& net : engine.nets()) before_.push_back(net->snapshot());
}

Rehearsal::~Rehearsal() {
  try {
    put_back();
  } catch (const std::exception&) {  // whoever threw first is on the way
  }
}

void Rehearsal::put_back() {
  for (std::size_t i = 0; i < before_.size(); ++i) engine_.nets()[i]->restore(before_[i]);
}

StepReport Rehearsal::step(std::int64_t number) {
  std::vector<MicroBatch> batches = batches_;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    batches[i].position.step = number;
    if (number % 2 == 1) batches[i].images_NCHW = mirrored_[i];
  }
  StepInput input = input_;
  input.micro_batches = batches;
  StepReport report = engine_.step(input, [](Stage) {});
  auto late = engine_.settle();
  if (!late) return report;
  late->not_recorded = report.not_recorded;
  return std::move(*late);
}

double Rehearsal::step_seconds(std::int64_t number) {
  const auto start = std::chrono::steady_clock::now();
  static_cast<void>(step(number));
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::vector<double> Rehearsal::compare(comm::Comm& comm, std::size_t settings,
                                       const std::function<void(std::size_t)>& set) {
  std::vector<double> mean(settings), last(settings);
  std::vector<bool> hopeless(settings);
  std::size_t left = settings;
  for (int i = 0; i < kWarmUp + kMeasured && left > 1; ++i) {
    for (std::size_t k = 0; k < settings; ++k) {
      if (hopeless[k]) continue;
      set(k);
      last[k] = step_seconds(i);
      if (i >= kWarmUp) mean[k] += last[k] / kMeasured;
    }
    take_from_rank_zero(comm, last);
    const double best = *std::min_element(last.begin(), last.end());
    for (std::size_t k = 0; k < settings; ++k) {
      if (hopeless[k] || last[k] < best + std::max(kHopelessTimes * best, kHopelessSeconds))
        continue;
      hopeless[k] = true;
      --left;
    }
  }
  for (std::size_t k = 0; k < settings; ++k) {
    if (hopeless[k] || left == 1) mean[k] = last[k];
  }
  return mean;
}

}  // namespace atelier::engine
