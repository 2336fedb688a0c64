// What every Comm promises, as tests that run on each backend. A test gets its ranks from a
// `Ranks`: all of them as threads of this process, or this process as one of an MPI job. Verdicts
// that decide how a test goes on are reached together (all_ranks), so that no failing assertion
// leaves a rank waiting. Thread safety: gtest's expectations may be used on every rank.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include <gtest/gtest.h>

#include "launch/comm/comm.h"

namespace atelier::comm {

/// Memory of the device that a backend's buffers lie on. The copies are the fake's, whose memory
/// the host can touch.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  [[nodiscard]] virtual void* allocate(std::size_t bytes) = 0;
  virtual void free(void* memory) = 0;
  virtual void write(void* to, const std::byte* from, std::size_t bytes) {
    std::copy_n(from, bytes, static_cast<std::byte*>(to));
  }
  virtual void read(std::byte* to, const void* from, std::size_t bytes) {
    std::copy_n(static_cast<const std::byte*>(from), bytes, to);
  }
};

class Ranks {
 public:
  virtual ~Ranks() = default;
  [[nodiscard]] virtual int world() const = 0;
  /// Runs `body` on every rank of this process. `comm`: a fresh communicator, whole at the end
  /// unless the body `breaks` it; `agree`: another one of the same ranks, which must stay whole.
  using Body = std::function<void(Comm& comm, Comm& agree)>;
  virtual void run(const Body& body, bool breaks) = 0;
  /// Null where buffers lie on the host.
  [[nodiscard]] virtual DeviceMemory* device() { return nullptr; }
  /// What a library of others does not promise on devices: that calls which differ between ranks
  /// are found out (NCCL may hang, which the deadline ends, or move what fits), ...
  [[nodiscard]] virtual bool compares_calls() const { return true; }
  /// ... and that a minimum or maximum with a NaN is NaN.
  [[nodiscard]] virtual bool keeps_nan() const { return true; }
};

struct Backing {
  std::string name;
  std::function<std::unique_ptr<Ranks>()> make;
  friend void PrintTo(const Backing& backing, std::ostream* out) { *out << backing.name; }
};

class CommContract : public testing::TestWithParam<Backing> {
 protected:
  void run(const Ranks::Body& body) { ranks_->run(body, false); }
  void run_and_break(const Ranks::Body& body) { ranks_->run(body, true); }
  [[nodiscard]] int world() const { return ranks_->world(); }
  [[nodiscard]] DeviceMemory* device() { return ranks_->device(); }
  [[nodiscard]] const Ranks& ranks() const { return *ranks_; }

 private:
  std::unique_ptr<Ranks> ranks_ = GetParam().make();
};

/// True on all ranks when `mine` is true on all. Collective: all ranks.
[[nodiscard]] bool all_ranks(Comm& comm, bool mine);

/// The message of the CommError that `call` throws; empty when it throws none.
[[nodiscard]] std::string comm_error(const std::function<void()>& call);

/// GoogleTest's name of a parameter.
inline std::string backing_name(const testing::TestParamInfo<Backing>& info) {
  return info.param.name;
}

}  // namespace atelier::comm
