// What an examination says: findings with a status and what to do, and how those of many ranks
// become few. Thread safety: values and pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace atelier::doctor {

enum class Status : std::uint8_t {
  kOk,
  kWarning,  ///< training works, but worse than it could
  kProblem,  ///< training would fail, or its results could not be trusted
};

/// "ok", "warning", "problem".
[[nodiscard]] std::string_view name_of(Status status);

struct Finding {
  std::string topic;  ///< "cores": one or two words
  Status status = Status::kOk;
  std::string found = {};
  std::string advice = {};      ///< what to do; empty: nothing
  std::vector<int> ranks = {};  ///< whom it concerns, ascending; empty: all
};

/// `each[r]` is what rank r found about one topic. Equal findings become one: without ranks where
/// it holds for all, else with the ranks that made it; in the order of their lowest ranks.
[[nodiscard]] std::vector<Finding> merge(std::span<const Finding> each);

/// The gravest status; kOk when there is no finding.
[[nodiscard]] Status gravest(std::span<const Finding> findings);

/// (1, "rank") → "1 rank"; (2, "rank") → "2 ranks".
[[nodiscard]] std::string counted(std::size_t count, std::string_view noun);

/// {0, 1, 2, 5} → "ranks 0-2, 5"; {3} → "rank 3". Requires: ascending.
[[nodiscard]] std::string rank_list(std::span<const int> ranks);

/// {0, 1, 2, 5} → "0-2, 5". Requires: ascending.
[[nodiscard]] std::string number_list(std::span<const int> numbers);

}  // namespace atelier::doctor
