#include <sched.h>
#include <torch/torch.h>

#include "launch/base/text.h"
#include "trainer/app/commands.h"

namespace atelier::app {

void limit_threads(std::int64_t threads) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0 && threads > CPU_COUNT(&mask)) {
    throw RefusedError(text(threads, " compute threads were asked for, but this rank may use ",
                            CPU_COUNT(&mask), " core(s)."),
                       "Lower train.threads, or give each rank more cores with mpirun's "
                       "--bind-to none or --map-by slot:PE=N.");
  }
  at::set_num_threads(static_cast<int>(threads));
  at::set_num_interop_threads(1);
  at::globalContext().setFlushDenormal(true);
}

}  // namespace atelier::app
