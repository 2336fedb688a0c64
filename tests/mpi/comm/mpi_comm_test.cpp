// The contract on real processes under mpirun: all on this host, and with the ranks treated as if
// they lived on two hosts, or each on its own, so that the way between hosts is taken too.
#include "launch/comm/mpi_comm.h"

#include <exception>
#include <vector>

#include "launch/base/error.h"
#include "tests/support/mpi_main.h"
#include "tests/unit/comm/comm_contract.h"

namespace atelier::comm {
namespace {

class MpiRanks final : public Ranks {
 public:
  explicit MpiRanks(MpiCommOptions options) : options_(options), agree_(tests::mpi_session(), {}) {}
  ~MpiRanks() override { close(agree_); }
  int world() const override { return agree_.world(); }
  void run(const Body& body, bool breaks) override {
    MpiComm comm(tests::mpi_session(), options_);
    comm.set_default_timeout(std::chrono::seconds(15));
    try {
      body(comm, agree_);
    } catch (const std::exception& error) {  // a failure, but the ranks must stay together
      ADD_FAILURE() << "rank " << comm.rank() << ": " << error.what();
    }
    agree_.barrier();
    if (!breaks) {
      close(comm);
    }
  }

 private:
  static void close(MpiComm& comm) {
    try {
      comm.close();
    } catch (const CommError& error) {
      ADD_FAILURE() << error.what();
    }
  }

  MpiCommOptions options_;
  MpiComm agree_;
};

Backing backing(std::string name, MpiCommOptions options) {
  return {std::move(name), [options] { return std::make_unique<MpiRanks>(options); }};
}

std::vector<Backing> backings() {
  return {backing("one_host", {}), backing("no_shared_memory", {.most_shared_bytes = 0}),
          backing("hosts_of_2_ranks", {.ranks_per_host = 2}),
          backing("hosts_of_1_rank", {.ranks_per_host = 1}),
          backing("hosts_of_3_ranks_small_slots", {.slot_bytes = 20'000, .ranks_per_host = 3})};
}

INSTANTIATE_TEST_SUITE_P(Mpi, CommContract, testing::ValuesIn(backings()), backing_name);

TEST(MpiComm, hosts_can_be_told_apart) {
  MpiComm comm(tests::mpi_session(), {.ranks_per_host = 2});

  EXPECT_EQ(comm.hosts(), (comm.world() + 1) / 2);
  EXPECT_EQ(comm.local_rank(), comm.rank() % 2);
  comm.close();
}

TEST(MpiComm, an_end_to_which_a_rank_does_not_come_names_it_by_the_deadline) {
  MpiComm agree(tests::mpi_session(), {});
  {
    MpiComm comm(tests::mpi_session(), {});
    comm.set_default_timeout(std::chrono::milliseconds(150));
    const int late = comm.world() - 1;
    if (comm.rank() < late) {
      const std::string error = comm_error([&] { comm.close(); });

      EXPECT_NE(error.find("end of the job"), std::string::npos) << error;
      EXPECT_NE(error.find("rank " + std::to_string(late)), std::string::npos) << error;
    }
    agree.barrier();
  }
  agree.close();
}

TEST(MpiComm, a_closed_communicator_says_so) {
  MpiComm comm(tests::mpi_session(), {});
  comm.close();

  EXPECT_NE(comm_error([&] { comm.barrier(); }).find("is closed"), std::string::npos);
}

}  // namespace
}  // namespace atelier::comm
