// Serves a rank's metrics at http://<bind>:<port>/metrics for Prometheus to scrape. Whatever goes
// wrong (taken port, bad address) ends in one warning and at worst no exporter, never in an error.
// Thread safety: const methods from any thread; scrapes run on the server's own two threads.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "launch/base/log.h"
#include "monitoring/config.h"
#include "monitoring/metrics.h"

namespace prometheus {
class Exposer;
}

namespace atelier::monitoring {

struct ExporterPlace {
  int local_rank = 0;
  int hosts = 1;         ///< of the whole run
  std::string hostname;  ///< under which other hosts reach this one
};

class Exporter {
 public:
  /// Ports tried: config.port + local_rank, the next 16, then any free one; port 0: any free one.
  /// Lifetime: `metrics` may end first; scrapes are empty from then on.
  Exporter(const MonitoringConfig& config, const ExporterPlace& place, const Metrics& metrics,
           Log& log);
  ~Exporter();
  Exporter(const Exporter&) = delete;
  Exporter& operator=(const Exporter&) = delete;

  /// 0: no exporter runs.
  [[nodiscard]] int port() const { return port_; }
  /// "host:port" for Prometheus, the host name where the bind address is a wildcard; empty: none.
  [[nodiscard]] std::string target() const;

 private:
  bool listen(const std::string& address);
  std::string host_;        ///< for Prometheus
  std::string knock_host_;  ///< for this process
  int port_ = 0;
  std::unique_ptr<prometheus::Exposer> server_;
};

/// True for addresses that only the same host reaches: 127.0.0.0/8, ::1, localhost.
[[nodiscard]] bool is_loopback(std::string_view bind);

}  // namespace atelier::monitoring
