// What the metric registry held at one step. The same value goes to stats.jsonl and TensorBoard,
// so every reader sees the numbers that Prometheus scraped. Thread safety: values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace atelier::monitoring {

struct Label {
  std::string name;
  std::string value;
  bool operator==(const Label&) const = default;
};

/// What a series is called, as each reader wants it; made once, since there are hundreds in every
/// record.
struct SeriesName {
  SeriesName(std::string a_name, std::vector<Label> some_labels);

  std::string name;
  std::vector<Label> labels;
  /// "atelier_loss{net=G,term=adversarial}": labels sorted by name, no quotes; the key of
  /// stats.jsonl.
  std::string flat;
  std::string json_key;  ///< that as a JSON string
  /// "atelier_loss/net=G,term=adversarial": TensorBoard groups by what stands before the slash.
  std::string tag;
};

/// One series at one moment. Units: those in its name.
struct Sample {
  std::shared_ptr<const SeriesName> series;
  double value = 0;
};

struct Snapshot {
  std::int64_t step = 0;
  double unix_seconds = 0;
  std::vector<Sample> samples;
};

}  // namespace atelier::monitoring
