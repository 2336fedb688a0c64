#include "monitoring/snapshot.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

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

SeriesName::SeriesName(std::string a_name, std::vector<Label> some_labels)
    : name(std::move(a_name)), labels(std::move(some_labels)), flat(name), tag(name) {
  if (!labels.empty()) {
    const std::string joined = joined_labels(labels);
    flat += '{' + joined + '}';
    tag += '/' + joined;
  }
  json_key = nlohmann::json(flat).dump();
}

}  // namespace atelier::monitoring
