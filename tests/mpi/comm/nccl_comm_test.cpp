// The contract on NcclComm over made-up GPUs, and every way in which a start or a call can fail:
// each ends in an error that names the rank, within its deadline.
#include "launch/comm/nccl_comm.h"

#include <array>
#include <chrono>
#include <exception>

#include <gmock/gmock.h>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/nccl_start.h"
#include "launch/comm/self_test.h"
#include "tests/support/fake_gpu/fake_nccl.h"
#include "tests/support/fake_gpu/tape.h"
#include "tests/support/mpi_main.h"
#include "tests/unit/comm/comm_contract.h"
#include "tests/unit/comm/corrupting_comm.h"

namespace atelier::comm {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;

std::unique_ptr<NcclComm> make(const DeviceApis& apis, const NcclOptions& options) {
  auto host =
      std::make_unique<MpiComm>(tests::mpi_session(), MpiCommOptions{.timeout = options.timeout});
  return std::make_unique<NcclComm>(tests::mpi_session(), std::move(host), apis, options);
}

class FakeGpuRanks final : public Ranks, public DeviceMemory {
 public:
  explicit FakeGpuRanks(std::string faults)
      : faults_(std::move(faults)), agree_(tests::mpi_session(), {}) {}
  ~FakeGpuRanks() override { agree_.close(); }
  int world() const override { return agree_.world(); }
  DeviceMemory* device() override { return this; }
  void* allocate(std::size_t bytes) override {
    void* memory = nullptr;
    EXPECT_EQ(apis_.nccl->mem_alloc(memory, bytes), 0);
    return memory;
  }
  void free(void* memory) override { static_cast<void>(apis_.nccl->mem_free(memory)); }

  void run(const Body& body, bool breaks) override {
    apis_ = tests::make_fake_gpu(tests::parse_faults(faults_, agree_.rank()));
    const auto comm = make(apis_, {.timeout = std::chrono::seconds(15)});
    try {
      body(*comm, agree_);
    } catch (const std::exception& error) {  // a failure, but the ranks must stay together
      ADD_FAILURE() << "rank " << comm->rank() << ": " << error.what();
    }
    agree_.barrier();
    if (!breaks) comm->close();
  }

 private:
  std::string faults_;
  DeviceApis apis_;
  MpiComm agree_;
};

Backing backing(std::string name, std::string faults) {
  return {std::move(name), [faults] { return std::make_unique<FakeGpuRanks>(faults); }};
}

std::vector<Backing> backings() {
  return {backing("fake_gpus", ""), backing("slow_rank_0", "0:delay_us=300"),
          backing("slow_others", "delay_us=300,0:delay_us=0")};
}

INSTANTIATE_TEST_SUITE_P(Nccl, CommContract, testing::ValuesIn(backings()), backing_name);

/// What making a communicator with these faults says; empty when it works.
std::string start_error(std::string_view faults, NcclOptions options = {}) {
  MpiComm agree(tests::mpi_session(), {});
  const DeviceApis apis = tests::make_fake_gpu(tests::parse_faults(faults, agree.rank()));
  std::string said;
  try {
    make(apis, options)->close();
  } catch (const Error& error) {
    said = error.what();
  }
  agree.close();
  return said;
}

/// What a device call says that meets these faults in one of three calls, and how long it took.
struct Trouble {
  std::string error;
  std::chrono::steady_clock::duration took;
  ExitCode code = ExitCode::kDone;
};
Trouble call_trouble(std::string_view faults, milliseconds timeout) {
  MpiComm agree(tests::mpi_session(), {});
  const DeviceApis apis = tests::make_fake_gpu(tests::parse_faults(faults, agree.rank()));
  Trouble trouble;
  {
    const auto comm = make(apis, {});
    comm->set_default_timeout(timeout);
    std::byte* const data = comm->allocate(1024);
    const auto start = std::chrono::steady_clock::now();
    try {
      for (int i = 0; i < 3; ++i) {
        comm->all_reduce({data, 256, DType::kFloat32, Place::kCuda}, ReduceOp::kSum,
                         {.label = "gradients"});
        comm->synchronize();
      }
    } catch (const Error& error) {
      trouble = {.error = error.what(), .took = {}, .code = error.exit_code()};
    }
    trouble.took = std::chrono::steady_clock::now() - start;
    agree.barrier();
  }
  agree.close();
  return trouble;
}

int world() {
  MpiComm comm(tests::mpi_session(), {});
  const int ranks = comm.world();
  comm.close();
  return ranks;
}

TEST(NcclStart, works_where_nothing_is_wrong) { EXPECT_EQ(start_error(""), ""); }

TEST(NcclStart, an_initialisation_that_does_not_complete_ends_by_its_deadline) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(start_error("0:init=never", {.timeout = milliseconds(400)}),
              AllOf(HasSubstr("ncclCommInitRankConfig did not end within 0.4 s"),
                    HasSubstr("start of NCCL")));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(NcclStart, an_initialisation_that_fails_on_one_rank_ends_on_all) {
  MpiComm agree(tests::mpi_session(), {});
  const bool own = agree.rank() == 0;
  agree.close();
  const std::string said = start_error("0:init=fails", {.timeout = milliseconds(2000)});
  if (own) {
    EXPECT_THAT(said, AllOf(HasSubstr("\"start of NCCL\""),
                            HasSubstr("a made-up network has no interface")));
  } else {
    EXPECT_THAT(said, HasSubstr("NCCL has started"));
  }
}

TEST(NcclStart, two_ranks_on_one_gpu_are_refused_unless_wanted) {
  if (world() == 1) {
    EXPECT_EQ(start_error("bus=one"), "") << "one rank has it to itself";
  } else {
    EXPECT_THAT(start_error("bus=one"),
                HasSubstr("Ranks 0 and 1 would share the GPU 0000:10:00.0"));
  }
  EXPECT_EQ(start_error("bus=one", {.share_device = true}), "");
}

TEST(NcclStart, a_rank_without_a_gpu_is_named) {
  MpiComm agree(tests::mpi_session(), {});
  const bool own = agree.rank() == 0;
  agree.close();
  const std::string said = start_error("0:devices=0");
  if (own) {
    EXPECT_THAT(said, HasSubstr("no CUDA-capable device"));
  } else {
    EXPECT_THAT(said,
                AllOf(HasSubstr("no GPU for rank 0"), HasSubstr("has 0 that this job may use")));
  }
}

TEST(NcclStart, fewer_gpus_than_ranks_are_refused_unless_they_share) {
  if (world() == 1) {
    EXPECT_EQ(start_error("devices=1"), "") << "it suffices for one rank";
  } else {
    EXPECT_THAT(start_error("devices=1"), HasSubstr("would share the GPU 0000:10:00.0"));
  }
  EXPECT_EQ(start_error("devices=1", {.share_device = true}), "");
}

TEST(NcclStart, ranks_that_see_but_their_own_gpu_take_it) {
  EXPECT_EQ(start_error("devices=1,1:first=1,2:first=2,3:first=3"), "");
}

TEST(NcclStart, says_beforehand_whether_each_rank_has_a_gpu) {
  const auto says = [](std::string_view faults) {
    MpiComm comm(tests::mpi_session(), {});
    const DeviceApis apis = tests::make_fake_gpu(tests::parse_faults(faults, comm.rank()));
    const bool said = each_rank_has_a_device(comm, *apis.cuda);
    comm.close();
    return said;
  };
  EXPECT_TRUE(says(""));
  EXPECT_TRUE(says("devices=1,1:first=1,2:first=2,3:first=3"));
  EXPECT_FALSE(says("0:devices=0"));
  EXPECT_EQ(says("devices=1"), world() == 1);
}

TEST(NcclStart, other_libraries_on_one_rank_are_named) {
  if (world() == 1) {
    EXPECT_EQ(start_error("0:driver=12080"), "") << "nobody to differ from";
  } else {
    EXPECT_THAT(start_error("1:driver=12080"),
                AllOf(HasSubstr("CUDA of the driver"), HasSubstr("12.8"), HasSubstr("13.0")));
  }
}

TEST(NcclStart, a_library_that_the_program_was_not_built_for_is_refused) {
  EXPECT_THAT(start_error("nccl=22105"), HasSubstr("NCCL 2.21.5 is loaded"));
}

TEST(NcclCall, an_error_that_nccl_meets_later_is_told_in_its_words) {
  const Trouble trouble = call_trouble("0:async_error=2", milliseconds(20'000));

  EXPECT_THAT(trouble.error, AllOf(HasSubstr("all_reduce(sum, float32 x 256, \"gradients\")")));
  EXPECT_LT(trouble.took, std::chrono::seconds(5)) << "long before the deadline";
  MpiComm comm(tests::mpi_session(), {});
  if (comm.rank() == 0) {
    EXPECT_THAT(trouble.error, AllOf(HasSubstr("Rank 0 of "), HasSubstr(" in all_reduce("),
                                     HasSubstr("a made-up socket was closed")));
  }
  comm.close();
}

TEST(NcclCall, a_device_that_stands_still_is_told_by_the_deadline) {
  const Trouble trouble = call_trouble("0:stall=2", milliseconds(300));

  EXPECT_THAT(trouble.error, HasSubstr("\"gradients\"")) << trouble.error;
  EXPECT_GE(trouble.took, milliseconds(300));
  EXPECT_LT(trouble.took, milliseconds(5300));
}

/// A communicator of three device buffers and a queue of the caller's, as LibTorch's would be.
struct Recorded {
  explicit Recorded(std::string_view faults) {
    MpiComm agree(tests::mpi_session(), {});
    apis = tests::make_fake_gpu(tests::parse_faults(faults, agree.rank()));
    agree.close();
    comm = make(apis, {});
    EXPECT_EQ(apis.cuda->stream_create(stream), 0);
    sums = reinterpret_cast<float*>(comm->allocate(kCount * sizeof(float)));
    const auto world = static_cast<std::size_t>(comm->world());
    all = reinterpret_cast<float*>(comm->allocate(world * kCount * sizeof(float)));
    tape.begin();
    comm->begin_recording();
    comm->start_all_reduce(buffer(), ReduceOp::kSum, options("sums"));
    comm->finish_started();
    comm->all_gather(buffer(), {all, world * kCount, DType::kFloat32, Place::kCuda},
                     options("all"));
    calls = comm->end_recording();
    tape.end();
  }
  [[nodiscard]] Buffer buffer() const { return {sums, kCount, DType::kFloat32, Place::kCuda}; }
  [[nodiscard]] CallOptions options(std::string_view label) const {
    return {.stream = stream, .label = label};
  }
  void replay() {
    comm->replay(
        calls,
        [this] {
          static_cast<tests::FakeStream*>(stream)->enqueue(
              [this](const std::atomic<bool>&) { tape.replay(); });
        },
        options("the step"));
  }
  static constexpr std::size_t kCount = 100;
  DeviceApis apis;
  std::unique_ptr<Comm> comm;
  CudaStream stream = nullptr;
  float* sums = nullptr;
  float* all = nullptr;
  tests::Tape tape;
  std::size_t calls = 0;
};

TEST(NcclRecording, repeats_its_calls_as_one) {
  Recorded recorded("delay_us=100");
  Comm& comm = *recorded.comm;
  EXPECT_EQ(recorded.calls, 2U);
  recorded.sums[7] = static_cast<float>(comm.rank() + 1);
  const std::uint64_t before = comm.sequence();
  comm.synchronize();
  EXPECT_EQ(recorded.sums[7], static_cast<float>(comm.rank() + 1)) << "nothing happened yet";

  for (int i = 0; i < 3; ++i) recorded.replay();
  comm.synchronize();

  const auto world = static_cast<float>(comm.world());
  const float sum = world * (world + 1) / 2;
  EXPECT_EQ(recorded.sums[7], sum * world * world);
  EXPECT_EQ(recorded.all[(comm.world() - 1) * Recorded::kCount + 7], sum * world * world);
  EXPECT_EQ(comm.sequence(), before + 3);
  comm.all_reduce(recorded.buffer(), ReduceOp::kMax, recorded.options("afterwards"));
  comm.close();
}

TEST(NcclRecording, a_repetition_that_does_not_end_is_told_by_its_deadline) {
  Recorded recorded("0:stall=2");  // the first that is repeated, and that with its second call
  recorded.comm->set_default_timeout(milliseconds(300));
  const auto start = std::chrono::steady_clock::now();
  std::string said;
  try {
    recorded.replay();
    recorded.comm->synchronize();
  } catch (const CommError& error) {
    said = error.what();
  }
  EXPECT_THAT(said, HasSubstr("replay(2 recorded calls, \"the step\")"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(5300));
  MpiComm agree(tests::mpi_session(), {});
  agree.close();
}

TEST(NcclRecording, holds_nothing_of_the_host) {
  const auto comm = make(tests::make_fake_gpu({}), {});
  float value = 1;
  comm->begin_recording();
  EXPECT_THROW(comm->all_reduce({&value, 1, DType::kFloat32}, ReduceOp::kSum), DeviceError);
  EXPECT_THROW(static_cast<void>(comm->allocate(64)), InternalError);
  EXPECT_EQ(comm->end_recording(), 0U);
  comm->close();
}

TEST(NcclSelfTest, sums_on_the_device_and_notices_there_what_is_wrong) {
  MpiComm agree(tests::mpi_session(), {});
  const int last = agree.world() - 1;
  const auto comm = make(tests::make_fake_gpu({}), {});
  CorruptingComm sound(*comm, -1);
  CorruptingComm broken(*comm, last);

  EXPECT_GT(self_test(sound).bytes_per_second, 0);
  EXPECT_EQ(sound.device_sums(), 4 * 5);
  EXPECT_THAT([&] { static_cast<void>(self_test(broken)); },
              testing::ThrowsMessage<DeviceError>(HasSubstr(
                  text("Rank ", last, " of ", last + 1, " could not sum 4099 known values"))));

  comm->close();
  agree.close();
}

TEST(NcclCopy, that_does_not_end_is_told_by_its_deadline_and_leaves_the_caller_s_memory) {
  MpiComm agree(tests::mpi_session(), {});
  const int rank = agree.rank();
  const DeviceApis apis = tests::make_fake_gpu(tests::parse_faults("0:copy=never", rank));
  {
    const auto comm = make(apis, {});
    const Buffer there{comm->allocate(64), 16, DType::kFloat32, Place::kCuda};
    std::array<float, 16> here{};
    const auto start = std::chrono::steady_clock::now();
    std::string said;
    try {
      comm->copy(there, {here.data(), 16, DType::kFloat32}, {.timeout = milliseconds(200)});
    } catch (const DeviceError& error) {
      said = error.what();
    }
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
    if (rank == 0) {
      EXPECT_THAT(said, AllOf(HasSubstr(text("Rank 0 of ", comm->world(), ", after allocate(")),
                              HasSubstr("device 0 did not copy 64 bytes within 0.2 s.")));
    } else {
      EXPECT_EQ(said, "");
    }
    agree.barrier();
  }
  agree.close();
}

TEST(NcclCall, more_than_a_launch_queue_holds_are_never_in_flight) {
  MpiComm agree(tests::mpi_session(), {});
  const DeviceApis apis = tests::make_fake_gpu(tests::parse_faults("stall=2", agree.rank()));
  int returned = 0;
  {
    const auto comm = make(apis, {});
    comm->set_default_timeout(milliseconds(500));
    std::byte* const data = comm->allocate(1024);
    try {
      for (; returned < 1000; ++returned) {
        comm->start_all_reduce({data, 256, DType::kFloat32, Place::kCuda}, ReduceOp::kSum);
      }
    } catch (const CommError&) {  // of the second, by its deadline
    }
    agree.barrier();
  }
  agree.close();
  EXPECT_LE(returned, 129);
}

TEST(NcclCall, a_device_that_fails_is_told_with_its_error) {
  const Trouble trouble = call_trouble("0:device_error=2", milliseconds(2000));

  MpiComm comm(tests::mpi_session(), {});
  if (comm.rank() == 0) {
    EXPECT_THAT(trouble.error, AllOf(HasSubstr("Rank 0 of "), HasSubstr("illegal memory access")));
    EXPECT_EQ(trouble.code, ExitCode::kInternal) << "its own device, no peer";
  } else {
    EXPECT_EQ(trouble.code, ExitCode::kPeerLost) << trouble.error;
  }
  comm.close();
}

}  // namespace
}  // namespace atelier::comm
