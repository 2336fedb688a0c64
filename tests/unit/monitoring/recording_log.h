// A Log that keeps its warnings. Thread safety: one thread at a time.
#pragma once

#include <string>
#include <vector>

#include "launch/base/log.h"

namespace atelier::test {

class RecordingLog final : public Log {
 public:
  std::vector<std::string> infos;
  std::vector<std::string> warnings;

 private:
  void write(LogLevel level, std::string_view line) override {
    (level == LogLevel::kWarning ? warnings : infos).emplace_back(line);
  }
};

}  // namespace atelier::test
