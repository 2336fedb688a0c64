#include "launch/doctor/port.h"

#include <cerrno>
#include <system_error>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace atelier::doctor {

PortFacts probe_port(int port) {
  PortFacts facts{.port = port};
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    facts.fault = std::generic_category().message(errno);
    return facts;
  }
  const int yes = 1;  // what a server that has just ended left in TIME_WAIT does not count
  static_cast<void>(::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd, 1) != 0) {
    facts.fault = std::generic_category().message(errno);
  }
  ::close(fd);
  return facts;
}

}  // namespace atelier::doctor
