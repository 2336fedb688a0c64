#include "monitoring/snapshot.h"

#include <algorithm>

namespace atelier::monitoring {
namespace {

std::string joined_labels(std::vector<Label> labels) {
  std::sort(labels.begin(), labels.end(),
            [](const Label& a, const Label& b) { return a.name < b.name; });
  std::string out;
  for (const Label& label : labels) {
    if (!out.empty()) out += ',';
    out += label.name + '=' + label.value;
  }
  return out;
}

}  // namespace

std::string flat_name(const Sample& sample) {
  if (sample.labels.empty()) return sample.name;
  return sample.name + '{' + joined_labels(sample.labels) + '}';
}

std::string tensorboard_tag(const Sample& sample) {
  if (sample.labels.empty()) return sample.name;
  return sample.name + '/' + joined_labels(sample.labels);
}

}  // namespace atelier::monitoring
