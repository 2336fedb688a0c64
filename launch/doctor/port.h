// Whether a port can be listened on. Thread safety: pure functions.
#pragma once

#include <string>

namespace atelier::doctor {

struct PortFacts {
  int port = 0;
  std::string fault = {};  ///< the system's reason; empty: the port is free
};

/// Listens on `port` of the IPv4 loopback for a moment, as an exporter would.
[[nodiscard]] PortFacts probe_port(int port);

}  // namespace atelier::doctor
