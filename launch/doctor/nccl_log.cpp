#include "launch/doctor/nccl_log.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <system_error>

#include <unistd.h>

#include "launch/base/text.h"

namespace atelier::doctor {

// A line of NCCL's (src/transport): "... NCCL INFO Channel 00/0 : 0[0] -> 1[1] via P2P/CUMEM", for
// networks with "[send]" or "[receive]" before "via".
std::vector<std::string> ways_in(std::string_view log) {
  constexpr std::string_view kVia = " via ";
  std::set<std::string> ways;
  while (!log.empty()) {
    const std::string_view line = log.substr(0, log.find('\n'));
    log.remove_prefix(std::min(line.size() + 1, log.size()));
    const std::size_t via = line.find(kVia);
    if (via == std::string_view::npos || line.substr(0, via).find("Channel ") == line.npos)
      continue;
    const std::string_view way = line.substr(via + kVia.size());
    ways.emplace(way.substr(0, way.find_first_of(" \r")));
  }
  ways.erase("");
  return {ways.begin(), ways.end()};
}

std::string describe_way(std::string_view way) {
  const auto starts = [&](std::string_view with) { return way.substr(0, with.size()) == with; };
  std::string_view words = "over the network";
  if (starts("P2P")) words = "directly from device to device";
  if (starts("SHM")) words = "through shared memory of the host";
  if (starts("NET/Socket")) words = "over TCP sockets";
  if (starts("NET/IB")) words = "over InfiniBand or RoCE";
  return text(words, " (", way, ")");
}

NcclLog::NcclLog() {
  if (std::getenv("NCCL_DEBUG") != nullptr || std::getenv("NCCL_DEBUG_FILE") != nullptr) return;
  std::error_code error;
  std::string name = (std::filesystem::temp_directory_path(error) / "atelier-nccl-XXXXXX").string();
  const int file = error ? -1 : ::mkstemp(name.data());
  if (file < 0) return;
  ::close(file);
  file_ = name;
  ::setenv("NCCL_DEBUG", "INFO", 1);
  ::setenv("NCCL_DEBUG_FILE", name.c_str(), 1);
}

NcclLog::~NcclLog() {
  if (file_.empty()) return;
  std::error_code error;  // somebody tidies temporary folders
  std::filesystem::remove(file_, error);
}

std::vector<std::string> NcclLog::ways() const {
  if (file_.empty()) return {};
  std::ifstream file(file_);
  return ways_in(std::string(std::istreambuf_iterator<char>(file), {}));
}

}  // namespace atelier::doctor
