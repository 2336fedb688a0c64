// An examination as a page for people and as one JSON document. Thread safety: pure functions.
#pragma once

#include <string>
#include <vector>

#include "launch/doctor/facts.h"
#include "launch/doctor/finding.h"

namespace atelier::doctor {

struct Report {
  std::vector<RankFacts> facts = {};  ///< by rank
  std::vector<Finding> findings = {};
};

/// One row a finding, in columns; what to do stands below it. At most 100 columns wide.
[[nodiscard]] std::string to_page(const Report& report);

/// {"verdict", "ranks", "hosts", "findings": [{"topic", "status", "found", "advice", "ranks"}],
/// "facts": [by rank]}; "ranks" of a finding is null where it holds for all.
[[nodiscard]] std::string to_json(const Report& report);

}  // namespace atelier::doctor
