// GoogleTest under mpirun, for a program's main.
// Thread safety: main's thread.
#pragma once

namespace atelier::tests {

/// Runs all tests on every rank, in the same order; `--world N` among the words says how many ranks
/// there should be. Rank 0 prints what passes and writes the file of --gtest_output, each rank
/// prints its own failures with its number. Returns 0 when no rank failed. Collective: all ranks.
[[nodiscard]] int run_under_mpirun(int argc, char** argv);

}  // namespace atelier::tests
