#include "launch/doctor/finding.h"

#include <algorithm>

#include "launch/base/text.h"

namespace atelier::doctor {

std::string_view name_of(Status status) {
  switch (status) {
    case Status::kOk:
      return "ok";
    case Status::kWarning:
      return "warning";
    case Status::kProblem:
      return "problem";
  }
  return "unknown";
}

std::vector<Finding> merge(std::span<const Finding> each) {
  std::vector<Finding> merged;
  for (std::size_t rank = 0; rank < each.size(); ++rank) {
    const Finding& mine = each[rank];
    auto same = std::find_if(merged.begin(), merged.end(), [&](const Finding& other) {
      return other.topic == mine.topic && other.status == mine.status &&
             other.found == mine.found && other.advice == mine.advice;
    });
    if (same == merged.end()) {
      same = merged.insert(merged.end(), mine);
      same->ranks.clear();
    }
    same->ranks.push_back(static_cast<int>(rank));
  }
  if (merged.size() == 1) merged.front().ranks.clear();
  return merged;
}

Status gravest(std::span<const Finding> findings) {
  Status status = Status::kOk;
  for (const Finding& finding : findings) status = std::max(status, finding.status);
  return status;
}

std::string counted(std::size_t count, std::string_view noun) {
  return text(count, " ", noun, count == 1 ? "" : "s");
}

std::string number_list(std::span<const int> numbers) {
  std::vector<std::string> runs;
  for (std::size_t first = 0; first < numbers.size();) {
    std::size_t last = first;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    runs.push_back(last == first ? text(numbers[first]) : text(numbers[first], "-", numbers[last]));
    first = last + 1;
  }
  return join(runs);
}

std::string rank_list(std::span<const int> ranks) {
  return text(ranks.size() == 1 ? "rank " : "ranks ", number_list(ranks));
}

}  // namespace atelier::doctor
