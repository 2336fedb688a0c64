// A program that only wants collectives, without LibTorch: mpirun -n 2 sums
#include <cstdio>

#include "launch/comm/make_comm.h"

int main() {
  atelier::comm::MpiSession session(atelier::comm::started_by_mpirun());
  const auto comm = atelier::comm::make_comm(session);
  float value = static_cast<float>(comm->rank() + 1);
  comm->all_reduce({&value, 1}, atelier::comm::ReduceOp::kSum, {.label = "values"});
  if (comm->rank() == 0)
    std::printf("%g over %d ranks\n", static_cast<double>(value), comm->world());
  comm->close();
  session.close();
}
