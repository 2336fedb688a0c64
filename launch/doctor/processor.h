// The CPU of a host, and which of its cores this process may use. Thread safety: the parser is
// pure; `probe_processor` changes the calling thread's affinity for a moment and restores it.
#pragma once

#include <string>
#include <vector>

#include "launch/base/file_system.h"

namespace atelier::doctor {

struct CpuDescription {
  std::string model = {};
  bool lists_features = false;             ///< false on other architectures than x86
  std::vector<std::string> features = {};  ///< of those below, the ones it has

  [[nodiscard]] bool has(const std::string& feature) const;
};

/// Instructions that decide how fast training is, as /proc/cpuinfo calls them: avx2, avx512f,
/// avx512_bf16, amx_tile, amx_bf16.
[[nodiscard]] const std::vector<std::string>& watched_features();

/// Reads the text of /proc/cpuinfo; its first processor stands for all.
[[nodiscard]] CpuDescription parse_cpuinfo(const std::string& content);

struct ProcessorFacts {
  CpuDescription cpu = {};
  std::vector<int> cores = {};      ///< the kernel's numbers of those this process may use
  std::vector<int> reachable = {};  ///< those it could use if mpirun had not bound it
  double group_cores = 0;           ///< cores' worth of time by control groups; 0: no limit
};

/// `root` stands for "/"; what cannot be read stays empty.
[[nodiscard]] ProcessorFacts probe_processor(const Path& root = "/");

}  // namespace atelier::doctor
