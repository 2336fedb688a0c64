// Does all_reduce give the right sum here, and how fast? Run once at the start of a job: a broken
// interconnect or a wrong library shows before it spoils a training. Sums are taken where training
// takes them: on devices in memory of allocate(). Thread safety: as Comm.
#pragma once

#include "launch/comm/comm.h"

namespace atelier::comm {

struct SelfTest {
  double latency_seconds = 0;   ///< of the smallest all_reduce, until the host knows: median
  double bytes_per_second = 0;  ///< of a large one, in its buffer: median
  std::size_t large_bytes = 0;
};

/// Sums known values of several sizes and compares every element. Takes some milliseconds, and on
/// devices 4 MiB that stay taken until close(). Collective: all ranks. Throws: DeviceError on all
/// ranks, naming one, when a sum is wrong on any or its device fails; CommError.
[[nodiscard]] SelfTest self_test(Comm& comm);

}  // namespace atelier::comm
