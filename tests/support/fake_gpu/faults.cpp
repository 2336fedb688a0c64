#include "tests/support/fake_gpu/faults.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace atelier::tests {
namespace {

bool set(Faults& faults, std::string_view name, std::string_view value) {
  const auto number = [&] { return std::atoll(std::string(value).c_str()); };
  if (name == "init" && value == "never") return faults.init_never = true;
  if (name == "init" && value == "fails") return faults.init_fails = true;
  if (name == "peer" && value == "none") return faults.no_peers = true;
  if (name == "memory" && value == "full") return faults.memory_full = true;
  if (name == "device" && value == "busy") return faults.device_busy = true;
  if (name == "name") return !(faults.name = value).empty();
  if (name == "capability") return (faults.capability = static_cast<int>(number())) > 0;
  if (name == "runtime") return (faults.runtime = static_cast<int>(number())) > 0;
  if (name == "memory" && value == "own") return faults.own_memory = true;
  if (name == "copy" && value == "never") return faults.copy_never = true;
  if (name == "abort" && value == "hangs") return faults.abort_hangs = true;
  if (name == "bus" && value == "one") return faults.one_bus = true;
  if (name == "async_error") return (faults.async_error = number()) > 0;
  if (name == "device_error") return (faults.device_error = number()) > 0;
  if (name == "stall") return (faults.stall = number()) > 0;
  if (name == "bytes") return (faults.most_bytes = number()) > 0;
  if (name == "delay_us") return (faults.delay_us = number()) >= 0;
  if (name == "first") return (faults.first = static_cast<int>(number())) >= 0;
  if (name == "devices") return (faults.devices = static_cast<int>(number())) >= 0;
  if (name == "nccl") return (faults.nccl = static_cast<int>(number())) > 0;
  if (name == "driver") return (faults.driver = static_cast<int>(number())) > 0;
  return false;
}

}  // namespace

Faults parse_faults(std::string_view words, int rank) {
  Faults faults;
  while (!words.empty()) {
    const std::size_t end = std::min(words.find(','), words.size());
    std::string_view word = words.substr(0, end);
    words.remove_prefix(std::min(end + 1, words.size()));
    const std::string whole(word);
    if (const std::size_t colon = word.find(':'); colon != std::string_view::npos) {
      const bool mine = std::atoi(std::string(word.substr(0, colon)).c_str()) == rank;
      word.remove_prefix(colon + 1);
      if (!mine) continue;
    }
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos ||
        !set(faults, word.substr(0, equals), word.substr(equals + 1))) {
      throw std::invalid_argument("no fault of a GPU: " + whole);
    }
  }
  return faults;
}

Faults faults_of_this_rank() {
  const char* const words = std::getenv("ATELIER_FAKE_GPU");
  const char* const rank = std::getenv("OMPI_COMM_WORLD_RANK");
  return parse_faults(words != nullptr ? words : "", rank != nullptr ? std::atoi(rank) : 0);
}

}  // namespace atelier::tests
