// Processor time of the calling thread: what its stage of the loader costs, waiting left out.
// Thread safety: pure.
#pragma once

#include <ctime>

namespace atelier::data {

[[nodiscard]] inline double thread_cpu_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace atelier::data
