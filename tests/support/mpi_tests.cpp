#include "tests/support/mpi_tests.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <gtest/gtest.h>
#include <mpi.h>

#include "tests/support/mpi_main.h"

namespace atelier::tests {
namespace {

comm::MpiSession& session() {
  static comm::MpiSession the_session(true);
  return the_session;
}

/// Prints failures only, each line with the rank.
class FailurePrinter final : public testing::EmptyTestEventListener {
 public:
  explicit FailurePrinter(int rank) : rank_(rank) {}

 private:
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (result.failed()) {
      std::printf("[rank %d] %s:%d: Failure\n[rank %d] %s\n", rank_,
                  result.file_name() != nullptr ? result.file_name() : "?", result.line_number(),
                  rank_, result.message());
      std::fflush(stdout);
    }
  }
  void OnTestEnd(const testing::TestInfo& test) override {
    if (test.result()->Failed()) {
      std::printf("[rank %d] FAILED %s.%s\n", rank_, test.test_suite_name(), test.name());
      std::fflush(stdout);
    }
  }
  int rank_;
};

int expected_world(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], "--world") == 0) {
      return std::atoi(argv[i + 1]);
    }
  }
  return 0;
}

}  // namespace

int run_under_mpirun(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  (void)session();
  int rank = 0;
  int world = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &world);
  if (world != expected_world(argc, argv)) {
    std::printf("[rank %d] %d ranks, registered for %d (--world N)\n", rank, world,
                expected_world(argc, argv));
    session().close();
    return 1;
  }
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  if (rank != 0) {
    delete listeners.Release(listeners.default_xml_generator());  // one file, rank 0's
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailurePrinter(rank));  // gtest owns it
  }
  int failed = RUN_ALL_TESTS();
  int failed_anywhere = 0;
  MPI_Allreduce(&failed, &failed_anywhere, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  if (rank == 0 && failed == 0 && failed_anywhere != 0) {
    std::printf("FAILED on another rank\n");
  }
  session().close();
  return failed_anywhere;
}

const comm::MpiSession& mpi_session() { return session(); }

}  // namespace atelier::tests
