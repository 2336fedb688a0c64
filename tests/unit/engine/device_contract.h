// What every kind of device that is trained on must do (device_contract.cpp). Thread safety: one
// thread per rank.
#pragma once

#include <cstdint>
#include <memory>

#include "launch/comm/comm.h"

namespace atelier::tests {

class DeviceUnderTest {
 public:
  virtual ~DeviceUnderTest() = default;
  /// A communicator on the rank's device; one at a time. Collective: all ranks.
  [[nodiscard]] virtual std::unique_ptr<comm::Comm> comm() = 0;
  /// Times that the host had to wait for the device so far; 0 where nobody counts.
  [[nodiscard]] virtual std::int64_t waits_of_host() = 0;
};

/// Of the test program.
[[nodiscard]] DeviceUnderTest& device_under_test();

/// A communicator on it, and LibTorch told to compute the same bits in every run there, on a queue
/// of the thread's own. Collective: all ranks.
[[nodiscard]] std::unique_ptr<comm::Comm> on_device();

}  // namespace atelier::tests
