// MPI of this process, from first call to last. main creates the session before anything else, so
// that no other library initialises MPI its own way; without mpirun the session is inactive and
// MPI is never touched. Thread safety: main's thread creates and closes it.
#pragma once

#include <functional>
#include <string_view>

namespace atelier::comm {

/// Looks a variable of the environment up; null when it is not set.
using EnvironmentLookup = std::function<const char*(const char*)>;

/// Whether a launcher that speaks MPI (Open MPI, MPICH, Slurm with PMIx) started this process.
[[nodiscard]] bool started_by_mpirun(const EnvironmentLookup& lookup);
[[nodiscard]] bool started_by_mpirun();  ///< by the environment of this process

class MpiSession {
 public:
  /// Throws: CommError when MPI cannot be initialised or allows calls from one thread only.
  explicit MpiSession(bool active);
  /// Local: ending without close() leaves it to mpirun to end the job.
  ~MpiSession() = default;
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  [[nodiscard]] bool active() const { return active_; }
  /// Whether several threads may call MPI at once.
  [[nodiscard]] bool multithreaded() const { return multithreaded_; }
  /// Finalises MPI. Requires: all communicators are closed. Collective: all ranks. Throws:
  /// CommError.
  void close();

 private:
  bool active_;
  bool multithreaded_ = false;
};

/// Throws CommError with MPI's own text unless `code` says success. `what`: the call that gave it.
void check_mpi(int code, std::string_view what);

/// "Open MPI v4.1.4, ...", one line.
[[nodiscard]] std::string_view mpi_version();

}  // namespace atelier::comm
