// Processes that import one source together, each a part of it. Thread safety: one thread each.
#pragma once

#include <string>
#include <vector>

namespace atelier::data {

class Crew {
 public:
  virtual ~Crew() = default;
  [[nodiscard]] virtual int rank() const { return 0; }
  [[nodiscard]] virtual int world() const { return 1; }
  /// What each says, by rank; returns when all have spoken. Collective: all ranks.
  [[nodiscard]] virtual std::vector<std::string> exchange(const std::string& own) { return {own}; }
};

}  // namespace atelier::data
