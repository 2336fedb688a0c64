#include "monitoring/config.h"

namespace atelier::monitoring {

void describe(ConfigFields& fields, MonitoringConfig& config) {
  fields.boolean("monitoring.enabled", config.enabled,
                 {"serve metrics to Prometheus over HTTP, one port per rank", true});
  fields.integer(
      "monitoring.port", config.port, {0, 65535},
      {"port of local rank 0, the next ranks use the next ones; 0: any free port", true});
  fields.string("monitoring.bind", config.bind,
                {"address to listen on; 0.0.0.0 lets other hosts scrape", true});
  fields.string("monitoring.discovery_dir", config.discovery_dir,
                {"folder that Prometheus watches for target files (file_sd); empty: none", true});
  fields.integer("monitoring.steps", config.steps, {1, 1'000'000},
                 {"steps between two records in stats.jsonl and TensorBoard", true});
}

}  // namespace atelier::monitoring
