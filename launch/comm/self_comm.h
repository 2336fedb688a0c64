// The communicator of a process that works alone: the same step code runs without MPI. Calls
// return at once; they check their arguments and count like those of the other backends.
// Thread safety: as Comm.
#pragma once

#include "launch/comm/host_comm.h"

namespace atelier::comm {

class SelfComm final : public HostComm {
 public:
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int world() const override { return 1; }
  [[nodiscard]] int local_rank() const override { return 0; }
  [[nodiscard]] int hosts() const override { return 1; }
  [[nodiscard]] std::string_view backend() const override { return "self"; }
  /// Prints the reason and ends the process.
  [[noreturn]] void abort(std::string_view reason, int exit_code) override;

 private:
  void exchange(const Task& task) override;
};

}  // namespace atelier::comm
