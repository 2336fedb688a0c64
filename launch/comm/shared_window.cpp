#include "launch/comm/shared_window.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>

#include <sys/statvfs.h>

#include "launch/base/error.h"
#include "launch/comm/mpi_session.h"

namespace atelier::comm {

SharedWindow::SharedWindow(MPI_Comm host, std::size_t bytes) {
  int local_size = 0;
  int local_rank = 0;
  check_mpi(MPI_Comm_size(host, &local_size), "MPI_Comm_size");
  check_mpi(MPI_Comm_rank(host, &local_rank), "MPI_Comm_rank");
  void* mine = nullptr;
  check_mpi(MPI_Win_allocate_shared(static_cast<MPI_Aint>(bytes == 0 ? 0 : bytes + kAlign), 1,
                                    MPI_INFO_NULL, host, static_cast<void*>(&mine), &window_),
            "MPI_Win_allocate_shared");
  for (int rank = 0; rank < local_size; ++rank) {
    MPI_Aint size = 0;
    int unit = 0;
    void* memory = nullptr;
    check_mpi(MPI_Win_shared_query(window_, rank, &size, &unit, static_cast<void*>(&memory)),
              "MPI_Win_shared_query");
    // Every process maps whole pages, so they all skip the same bytes here.
    auto space = static_cast<std::size_t>(size);
    if (size > 0) {
      memory = std::align(kAlign, space - kAlign, memory, space);
      ATELIER_CHECK(memory != nullptr, "window too small");
    }
    parts_.push_back(static_cast<std::byte*>(memory));
  }
  if (bytes > 0) {
    std::memset(part(local_rank), 0, bytes);
  }
  check_mpi(MPI_Barrier(host), "MPI_Barrier");
}

std::size_t free_shared_memory(std::size_t reserve) {
  struct statvfs space {};
  if (::statvfs("/dev/shm", &space) != 0) {
    return std::numeric_limits<std::size_t>::max();
  }
  const std::size_t free = std::size_t{space.f_bavail} * space.f_frsize;
  return free - std::min(free, reserve);
}

void SharedWindow::close() {
  parts_.clear();
  check_mpi(MPI_Win_free(&window_), "MPI_Win_free");
}

}  // namespace atelier::comm
