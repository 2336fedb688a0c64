#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <string_view>
#include <vector>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/together.h"
#include "trainer/engine/rehearsal.h"
#include "trainer/engine/trials.h"

namespace atelier::engine {
namespace {

constexpr double kTolerance = 1e-3;
constexpr double kScatters = 3;  // times what two runs differ by
constexpr double kMost = 0.05;   // more than that says nothing

// What some steps leave.
struct Trace {
  std::vector<StepReport> reports;
  std::vector<at::Tensor> moved;  ///< by net: how far the trained weights went
  std::vector<double> seconds;
  std::string refusal;
};

Trace run(Rehearsal& rehearsal, Engine& engine) {
  Trace trace;
  std::vector<at::Tensor> before;
  for (const auto& net : engine.nets()) before.push_back(net->flat().trained().clone());
  for (int i = 0; i < Rehearsal::kMeasured; ++i) {
    const auto start = std::chrono::steady_clock::now();
    trace.reports.push_back(rehearsal.step(i));
    trace.seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    if (trace.refusal.empty()) trace.refusal = trace.reports.back().not_recorded;
  }
  for (std::size_t i = 0; i < before.size(); ++i) {
    trace.moved.push_back(engine.nets()[i]->flat().trained() - before[i]);
  }
  rehearsal.put_back();
  return trace;
}

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// How far two traces are apart in one number of theirs, relative to its size.
struct Distance {
  std::string what;
  double value;
};

double relative(double difference, double size) {
  return difference == 0 ? 0 : std::abs(difference) / size;
}

// A term is as large as its largest value: it may pass through zero.
void add_losses(const Trace& a, const Trace& b, std::vector<Distance>& all) {
  for (std::size_t k = 0; k < a.reports[0].losses.size(); ++k) {
    double size = 0, furthest = 0;
    bool same = true;
    for (std::size_t i = 0; i < a.reports.size(); ++i) {
      const LossValue& x = a.reports[i].losses[k];
      const LossValue& y = b.reports[i].losses[k];
      const double apart = std::abs(x.value - y.value);
      same = same && x.present == y.present && std::isfinite(apart);
      size = std::max(size, std::abs(x.value));
      furthest = std::max(furthest, apart);
    }
    const LossValue& loss = a.reports[0].losses[k];
    all.push_back({text("the loss ", loss.net, " ", loss.term),
                   same ? relative(furthest, size) : std::numeric_limits<double>::infinity()});
  }
}

std::vector<Distance> distances(const Trace& a, const Trace& b, Engine& engine) {
  std::vector<Distance> all;
  add_losses(a, b, all);
  for (std::size_t i = 0; i < a.moved.size(); ++i) {
    const auto norm = [](const at::Tensor& flat) { return norm_on_device(flat).item<double>(); };
    all.push_back({text("the weights of ", engine.nets()[i]->name()),
                   relative(norm(a.moved[i] - b.moved[i]), norm(a.moved[i]))});
  }
  return all;
}

std::string disagreement(const std::vector<Distance>& found, const std::vector<Distance>& scatter) {
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double limit = std::clamp(kScatters * scatter[i].value, kTolerance, kMost);
    if (found[i].value <= limit) continue;
    return text("Repeated from recordings, ", Rehearsal::kMeasured, " steps differ in ",
                found[i].what, " by ", found[i].value,
                " of its size from the same steps asked for ", "operation by operation; at most ",
                limit, " is right.");
  }
  return "";
}

}  // namespace

RecordingTrial try_recordings(Engine& engine, comm::Comm& comm, const StepInput& input) {
  StepInput wanted = input;
  wanted.read = true;
  Rehearsal rehearsal(engine, wanted);
  static_cast<void>(run(rehearsal, engine));  // tries algorithms, makes memory
  const Trace asked = run(rehearsal, engine);
  const Trace again = run(rehearsal, engine);
  engine.record_steps(true);
  Trace repeated = run(rehearsal, engine);  // meets all kinds of steps
  if (repeated.refusal.empty()) repeated = run(rehearsal, engine);

  RecordingTrial trial{.asked_seconds = median_of(asked.seconds),
                       .repeated_seconds = median_of(repeated.seconds),
                       .refusal = repeated.refusal};
  if (trial.refusal.empty()) {
    trial.refusal =
        disagreement(distances(asked, repeated, engine), distances(asked, again, engine));
  }
  for (const std::string& of_rank : comm::gather_texts(comm, trial.refusal)) {
    if (trial.refusal.empty()) trial.refusal = of_rank;
  }
  if (!trial.refusal.empty()) engine.record_steps(false);
  return trial;
}

}  // namespace atelier::engine
