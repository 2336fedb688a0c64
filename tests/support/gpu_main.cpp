// GoogleTest on real GPUs: alone, or as one of the ranks of `mpirun -n N program --world N`. Where
// there is no GPU it says why, runs nothing and ends with kSkipped; likewise when every test that
// ran was skipped: nothing of that counts as passed.
#include <cstdio>
#include <cstring>

#include <gtest/gtest.h>

#include "tests/support/gpu.h"
#include "tests/support/mpi_tests.h"

namespace {

bool has_word(int argc, char** argv, const char* word) {
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], word) == 0) return true;
  }
  return false;
}

int run_alone(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

}  // namespace

int main(int argc, char** argv) {
  using namespace atelier::tests;
  if (const std::string reason = why_no_gpu(); !reason.empty()) {
    std::printf("Skipped: %s\n", reason.c_str());
    return kSkipped;
  }
  const int failed =
      has_word(argc, argv, "--world") ? run_under_mpirun(argc, argv) : run_alone(argc, argv);
  const auto& tests = *testing::UnitTest::GetInstance();
  const bool nothing_ran = tests.skipped_test_count() > 0 && tests.successful_test_count() == 0;
  return failed == 0 && nothing_ran ? kSkipped : failed;
}
