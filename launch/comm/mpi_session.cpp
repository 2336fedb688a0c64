#include "launch/comm/mpi_session.h"

#include <array>
#include <cstdlib>
#include <string>

#include <mpi.h>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::comm {

bool started_by_mpirun(const EnvironmentLookup& lookup) {
  constexpr std::array<const char*, 3> kMarks{"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"};
  for (const char* mark : kMarks) {
    if (lookup(mark) != nullptr) {
      return true;
    }
  }
  return false;
}

bool started_by_mpirun() {
  return started_by_mpirun([](const char* name) { return std::getenv(name); });
}

MpiSession::MpiSession(bool active) : active_(active) {
  if (!active_) {
    return;
  }
  int provided = MPI_THREAD_SINGLE;
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  if (provided < MPI_THREAD_SERIALIZED) {
    throw CommError(text("MPI allows calls from its main thread only (thread level ", provided,
                         ", needed ", MPI_THREAD_SERIALIZED, ")."),
                    "Use an MPI built with thread support.");
  }
  multithreaded_ = provided == MPI_THREAD_MULTIPLE;
}

void MpiSession::close() {
  if (active_) {
    active_ = false;
    check_mpi(MPI_Finalize(), "MPI_Finalize");
  }
}

void check_mpi(int code, std::string_view what) {
  if (code == MPI_SUCCESS) {
    return;
  }
  std::array<char, MPI_MAX_ERROR_STRING> message{};
  int length = 0;
  MPI_Error_string(code, message.data(), &length);
  throw CommError(text(what, " failed: ", message.data(), " (MPI error ", code, ")."),
                  "See mpirun's own messages; resume from the last checkpoint.");
}

std::string_view mpi_version() {
  static const std::string kVersion = [] {
    std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> message{};
    int length = 0;
    MPI_Get_library_version(message.data(), &length);
    const std::string all(message.data());
    return all.substr(0, all.find('\n'));
  }();
  return kVersion;
}

}  // namespace atelier::comm
