// What a test program under mpirun gets from its main.
#pragma once

#include "launch/comm/mpi_session.h"

namespace atelier::tests {

/// MPI of this process, initialised before the first test and finalised after the last.
[[nodiscard]] const comm::MpiSession& mpi_session();

}  // namespace atelier::tests
