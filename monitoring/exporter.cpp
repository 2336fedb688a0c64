#include "monitoring/exporter.h"

#include <algorithm>
#include <exception>
#include <thread>

#include <netdb.h>
#include <prometheus/exposer.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launch/base/text.h"

namespace atelier::monitoring {
namespace {

constexpr int kMorePorts = 16;
constexpr int kLastPort = 65535;

/// civetweb wants an IPv6 address in brackets.
std::string bracketed(const std::string& host) {
  const bool is_ipv6 = host.find(':') != std::string::npos && !host.starts_with('[');
  return is_ipv6 ? "[" + host + "]" : host;
}

bool is_wildcard(const std::string& host) { return host == "0.0.0.0" || host == "[::]"; }

/// Connects to a server on this host and hangs up.
void knock(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), text(port).c_str(), &hints, &found) != 0) return;
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0) {
    (void)connect(fd, found->ai_addr, found->ai_addrlen);
    close(fd);
  }
  freeaddrinfo(found);
}

}  // namespace

bool is_loopback(std::string_view bind) {
  return bind.starts_with("127.") || bind == "::1" || bind == "[::1]" || bind == "localhost";
}

Exporter::Exporter(const MonitoringConfig& config, const ExporterPlace& place,
                   const Metrics& metrics, Log& log)
    : host_(bracketed(config.bind)) {
  if (!config.enabled) return;
  const int wanted = config.port == 0 ? 0 : static_cast<int>(config.port) + place.local_rank;
  const int last = std::min(wanted + kMorePorts, kLastPort);
  if (wanted != 0) {
    for (int port = wanted; port <= last && !listen(text(host_, ":", port));) ++port;
  }
  if (port_ == 0 && !listen(host_ + ":0")) {
    log.warn(text("No metrics are served: cannot listen on '", config.bind, "' at port ", wanted,
                  " or any other. Training goes on. Check monitoring.bind and monitoring.port."));
    return;
  }
  server_->RegisterCollectable(metrics.collectable());
  knock_host_ = host_ == "0.0.0.0" ? "127.0.0.1" : host_ == "[::]" ? "::1" : config.bind;
  if (is_wildcard(host_)) host_ = place.hostname;
  if (wanted != 0 && port_ != wanted) {
    log.warn(text("Port ", wanted, " of '", config.bind,
                  "' is taken: metrics are served at http://", target(), "/metrics instead."));
  } else {
    log.info(text("Metrics are served at http://", target(), "/metrics."));
  }
  if (place.hosts > 1 && is_loopback(config.bind)) {
    log.warn(text("The run spans ", place.hosts, " hosts, but metrics are served on loopback ('",
                  config.bind,
                  "') only, where Prometheus on another host cannot scrape them. Set "
                  "monitoring.bind = \"0.0.0.0\" or a cluster address to change that."));
  }
}

Exporter::~Exporter() {
  if (!server_) return;
  // civetweb's listener looks at its stop flag every 2 s only, or when somebody connects.
  const std::jthread caller([this](const std::stop_token& stopped) {
    while (!stopped.stop_requested()) {
      knock(knock_host_, port_);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  server_.reset();
}

std::string Exporter::target() const { return port_ == 0 ? "" : text(host_, ":", port_); }

bool Exporter::listen(const std::string& address) {
  try {
    // civetweb reports a taken port and a bad address alike.
    server_ = std::make_unique<prometheus::Exposer>(std::vector<std::string>{
        "listening_ports", address, "num_threads", "2", "request_timeout_ms", "5000"});
    port_ = server_->GetListeningPorts().at(0);
    return true;
  } catch (const std::exception&) {
    server_.reset();
    return false;
  }
}

}  // namespace atelier::monitoring
