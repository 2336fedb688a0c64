// NCCL says nowhere but in its log which way it moves data. For the time of an examination the log
// goes to a file of ours. Thread safety: one thread; sets variables of the environment.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "launch/base/file_system.h"

namespace atelier::doctor {

/// The ways that connections of a log go, each once, in alphabetical order: "P2P/CUMEM",
/// "SHM/direct/direct", "NET/IB/0/GDRDMA".
[[nodiscard]] std::vector<std::string> ways_in(std::string_view log);

/// "directly from device to device (P2P/CUMEM)".
[[nodiscard]] std::string describe_way(std::string_view way);

class NcclLog {
 public:
  /// Best made before NCCL is used, which looks at the environment once. Does nothing where the
  /// user has asked for a log already, or no file can be made.
  NcclLog();
  ~NcclLog();
  NcclLog(const NcclLog&) = delete;
  NcclLog& operator=(const NcclLog&) = delete;

  /// So far; empty when nothing is known.
  [[nodiscard]] std::vector<std::string> ways() const;

 private:
  Path file_;  ///< empty: none
};

}  // namespace atelier::doctor
