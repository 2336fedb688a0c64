// The keys `monitoring.*` of the configuration. Thread safety: values.
#pragma once

#include <cstdint>
#include <string>

#include "launch/base/config_fields.h"

namespace atelier::monitoring {

struct MonitoringConfig {
  bool enabled = true;             ///< serve metrics over HTTP
  std::int64_t port = 9410;        ///< of local rank 0; 0: any free one
  std::string bind = "127.0.0.1";  ///< address to listen on
  std::string discovery_dir;       ///< empty: no discovery file but the one in the run folder
  std::int64_t steps = 10;         ///< between two lines of stats.jsonl
};

void describe(ConfigFields& fields, MonitoringConfig& config);

}  // namespace atelier::monitoring
