// Tells Prometheus where a run is scraped: a target file (file_sd JSON) in a folder it watches, and
// a copy in the run folder. A run that ends cleanly removes both; after a crash they stay, so that
// Prometheus sees the targets as down, until the run's next start replaces them.
// A fault is one warning, never an error. Thread safety: one thread per instance.
#pragma once

#include <string>
#include <vector>

#include "launch/base/file_system.h"
#include "launch/base/log.h"

namespace atelier::monitoring {

struct DiscoveryOptions {
  std::string run_id;  ///< file name and target label; letters, digits, '.', '_', '-'
  Path run_dir;        ///< gets kDiscoveryCopy
  Path discovery_dir;  ///< gets <run_id>.json; empty: no such file. Created when missing.
};

inline constexpr const char* kDiscoveryCopy = "targets.json";

class Discovery {
 public:
  /// Lifetime: `files` and `log` outlive the instance.
  Discovery(FileSystem& files, Log& log, DiscoveryOptions options);
  /// Writes both files. `targets`: "host:port" of every rank that serves metrics.
  void publish(const std::vector<std::string>& targets);
  /// At the clean end of a run.
  void remove() noexcept;

 private:
  [[nodiscard]] std::vector<Path> paths() const;
  FileSystem& files_;
  Log& log_;
  DiscoveryOptions options_;
};

/// [{"targets":["127.0.0.1:9410"],"labels":{"run_id":"gan-7"}}]
[[nodiscard]] std::string discovery_json(const std::string& run_id,
                                         const std::vector<std::string>& targets);

}  // namespace atelier::monitoring
