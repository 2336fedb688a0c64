// Time of our host all-reduce, in memory of the caller and in allocated memory, beside
// MPI_Allreduce; interleaved so that all see the same machine:
//   mpirun -n 2 --bind-to none all_reduce_bench [SLOT_KIB]
// Each size is verified first. Prints the median and the least of the slowest rank's times, in µs.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <mpi.h>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/mpi_comm.h"

namespace atelier::comm {
namespace {

using Floats = std::vector<float>;

void verify(Comm& comm, std::span<float> data) {
  for (std::size_t i = 0; i < data.size(); ++i) {
    data[i] = static_cast<float>(i % 1000) + static_cast<float>(comm.rank());
  }
  comm.all_reduce({data.data(), data.size(), DType::kFloat32}, ReduceOp::kSum);
  const auto world = static_cast<float>(comm.world());
  for (std::size_t i = 0; i < data.size(); ++i) {
    const float expected = world * static_cast<float>(i % 1000) + world * (world - 1) / 2;
    ATELIER_CHECK(data[i] == expected, "wrong sum");
  }
  std::fill(data.begin(), data.end(), 0.0F);  // zeros stay finite over any number of sums
}

/// µs of one call on the slowest rank, over `inner` calls in a row.
double time_of(const std::function<void()>& call, int inner) {
  MPI_Barrier(MPI_COMM_WORLD);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < inner; ++i) {
    call();
  }
  const std::chrono::duration<double, std::micro> spent = std::chrono::steady_clock::now() - start;
  double mine = spent.count() / inner;
  double slowest = 0;
  MPI_Allreduce(&mine, &slowest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  return slowest;
}

std::string median_and_least(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return text(fixed(times[times.size() / 2], 1), " (", fixed(times.front(), 1), ")");
}

void measure(Comm& comm, std::size_t bytes) {
  const std::size_t count = bytes / sizeof(float);
  Floats plain(count);
  Floats other(count, 0.0F);
  const std::span<float> allocated(reinterpret_cast<float*>(comm.allocate(bytes)), count);
  verify(comm, plain);
  verify(comm, allocated);
  const std::vector<std::function<void()>> calls{
      [&] {
        comm.all_reduce({plain.data(), count, DType::kFloat32}, ReduceOp::kSum);
      },
      [&] {
        comm.all_reduce({allocated.data(), count, DType::kFloat32}, ReduceOp::kSum);
      },
      [&] {
        MPI_Allreduce(MPI_IN_PLACE, other.data(), static_cast<int>(count), MPI_FLOAT, MPI_SUM,
                      MPI_COMM_WORLD);
      }};
  const int rounds = bytes > (std::size_t{1} << 24) ? 31 : 101;
  const int inner = std::clamp(static_cast<int>((std::size_t{1} << 18) / bytes), 1, 1000);
  std::vector<std::vector<double>> times(calls.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < calls.size(); ++i) {
      times[i].push_back(time_of(calls[i], inner));
    }
  }
  if (comm.rank() == 0) {
    std::string row = text("| ", bytes, " |");
    for (const std::vector<double>& of_one : times) {
      row += text(" ", median_and_least(of_one), " |");
    }
    std::puts(row.c_str());
    std::fflush(stdout);
  }
}

void run(std::size_t slot_bytes) {
  MpiSession session(started_by_mpirun());
  {
    MpiComm comm(session, {.slot_bytes = slot_bytes});
    if (comm.rank() == 0) {
      std::printf(
          "%d ranks, slots of %zu KiB\n| bytes | ours | ours, allocated | MPI_Allreduce |\n"
          "|---|---|---|---|\n",
          comm.world(), slot_bytes / 1024);
    }
    for (const std::size_t bytes : {std::size_t{4}, std::size_t{65'536}, std::size_t{1} << 20,
                                    std::size_t{7} << 20, std::size_t{32} << 20}) {
      measure(comm, bytes);
    }
    comm.close();
  }
  session.close();
}

}  // namespace
}  // namespace atelier::comm

int main(int argc, char** argv) {
  const long kib = argc > 1 ? std::atol(argv[1]) : 1024;
  atelier::comm::run(static_cast<std::size_t>(kib) * 1024);
  return 0;
}
