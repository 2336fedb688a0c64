// The least HTTP client a scrape needs, on loopback. Thread safety: functions, any thread.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace atelier::test {

/// A connected or listening socket on 127.0.0.1, closed at the end of its life.
class LoopbackSocket {
 public:
  LoopbackSocket() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (fd_ < 0) throw std::runtime_error("no socket");
  }
  ~LoopbackSocket() { ::close(fd_); }
  LoopbackSocket(const LoopbackSocket&) = delete;
  LoopbackSocket& operator=(const LoopbackSocket&) = delete;

  void connect(int port) {
    const sockaddr_in address = at(port);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw std::runtime_error("cannot connect to port " + std::to_string(port));
    }
  }
  /// False when the port is taken.
  bool listen(int port) {
    const sockaddr_in address = at(port);
    return ::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
           ::listen(fd_, 1) == 0;
  }
  [[nodiscard]] int port() const {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
  }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  static sockaddr_in at(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  int fd_;
};

/// The whole answer, head included.
inline std::string http_exchange(int port, const std::string& request) {
  LoopbackSocket socket;
  socket.connect(port);
  if (::send(socket.fd(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return "";
  std::string answer;
  char buffer[65536];
  for (ssize_t got = 0; (got = ::recv(socket.fd(), buffer, sizeof buffer, 0)) > 0;) {
    answer.append(buffer, static_cast<std::size_t>(got));
  }
  return answer;
}

/// The body of a scrape; throws unless the answer is 200.
inline std::string scrape(int port) {
  const std::string answer =
      http_exchange(port, "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  if (!answer.starts_with("HTTP/1.1 200")) throw std::runtime_error("scrape: " + answer);
  return answer.substr(answer.find("\r\n\r\n") + 4);
}

}  // namespace atelier::test
