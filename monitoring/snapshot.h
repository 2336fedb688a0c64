// What the metric registry held at one step. The same value goes to stats.jsonl and TensorBoard,
// so every reader sees the numbers that Prometheus scraped. Thread safety: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace atelier::monitoring {

struct Label {
  std::string name;
  std::string value;
  bool operator==(const Label&) const = default;
};

/// One series at one moment. Units: those in its name.
struct Sample {
  std::string name;
  std::vector<Label> labels;
  double value = 0;
};

struct Snapshot {
  std::int64_t step = 0;
  double unix_seconds = 0;
  std::vector<Sample> samples;
};

/// "atelier_loss{net=G,term=adversarial}": labels sorted by name, no quotes; the key of
/// stats.jsonl.
[[nodiscard]] std::string flat_name(const Sample& sample);

/// "atelier_loss/net=G,term=adversarial": TensorBoard groups by what stands before the slash.
[[nodiscard]] std::string tensorboard_tag(const Sample& sample);

}  // namespace atelier::monitoring
