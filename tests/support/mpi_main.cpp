// The main of a test program under mpirun: `program --world N`.
#include "tests/support/mpi_tests.h"

int main(int argc, char** argv) { return atelier::tests::run_under_mpirun(argc, argv); }
