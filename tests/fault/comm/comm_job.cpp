// A small job for the fault tests: joins mpirun, compares a value with the other ranks, then makes
// collectives until it is told otherwise. Ends as the real program does: an error aborts the job.
//   comm_job steps N            N steps, orderly end
//   comm_job throw              rank 1 throws DataError at step 20
//   comm_job differ             rank 1 brings another configuration
//   comm_job forever            until a signal; prints "rank R pid P" when all are there
// Each step's deadline is 2 s.
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include <unistd.h>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/handshake.h"
#include "launch/comm/make_comm.h"

namespace atelier::comm {
namespace {

void work(Comm& comm, const std::string& mode, long steps) {
  const bool odd = mode == "differ" && comm.rank() == 1;
  const std::vector<NamedText> items{{"train.batch", odd ? "32" : "64"}};
  require_equal(comm, items);
  std::fputs(text("rank ", comm.rank(), " pid ", ::getpid(), "\n").c_str(), stdout);
  std::fflush(stdout);
  std::vector<float> data(100'000);
  for (long step = 0; step < steps; ++step) {
    if (mode == "throw" && comm.rank() == 1 && step == 20) {
      throw DataError("shard 7 is damaged.", "Import it again.");
    }
    comm.all_reduce({data.data(), data.size(), DType::kFloat32}, ReduceOp::kSum,
                    {.label = "gradients"});
    ::usleep(1000);
  }
}

int run(const std::string& mode, long steps) {
  MpiSession session(started_by_mpirun());
  const auto comm = make_comm(session, {.timeout = std::chrono::milliseconds(2000)});
  try {
    work(*comm, mode, steps);
    comm->close();
  } catch (const Error& error) {
    comm->abort(error.what(), static_cast<int>(error.exit_code()));
  }
  session.close();
  return 0;
}

}  // namespace
}  // namespace atelier::comm

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  const long steps = argc > 2 ? std::atol(argv[2]) : std::numeric_limits<long>::max();
  return atelier::comm::run(mode, steps);
}
