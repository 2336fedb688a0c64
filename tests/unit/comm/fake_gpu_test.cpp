// The made-up GPU keeps the rules that the real libraries punish: each is broken here once.
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_gpu/fake_nccl.h"

namespace atelier::tests {
namespace {

using comm::DType;
using comm::ReduceOp;
using testing::HasSubstr;

/// One rank: its libraries, its communicator, a stream and 1 KiB of memory.
struct Rank {
  comm::DeviceApis apis;
  comm::NcclHandle handle = nullptr;
  comm::CudaStream stream = nullptr;
  void* memory = nullptr;

  Rank(int world, const comm::NcclId& id, int rank, std::string_view faults = "")
      : apis(make_fake_gpu(parse_faults(faults, rank))) {
    EXPECT_EQ(apis.cuda->stream_create(stream), 0);
    EXPECT_EQ(apis.nccl->mem_alloc(memory, 1024), 0);
    EXPECT_EQ(apis.nccl->comm_init_rank(handle, world, id, rank), comm::kNcclInProgress);
  }
  int sum(std::size_t count, DType dtype = DType::kFloat32) {
    return apis.nccl->all_reduce(memory, memory, count, dtype, ReduceOp::kSum, handle, stream);
  }
  int state() {
    int now = 0;
    EXPECT_EQ(apis.nccl->comm_get_async_error(handle, now), 0);
    return now;
  }
  /// Until it is no longer `state`, for two seconds at most.
  int state_after(int state) {
    for (int i = 0; i < 2000 && this->state() == state; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return this->state();
  }
  std::string said() { return apis.nccl->last_error(handle); }
  bool passed(comm::CudaEvent event) {
    for (int i = 0; i < 2000 && apis.cuda->event_query(event) != 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return apis.cuda->event_query(event) == 0;
  }
};

comm::NcclId new_id() {
  comm::NcclId id;
  EXPECT_EQ(make_fake_gpu({}).nccl->get_unique_id(id), 0);
  return id;
}

TEST(FakeGpu, sums_in_rank_order) {
  const comm::NcclId id = new_id();
  std::vector<std::unique_ptr<Rank>> ranks;
  for (int rank = 0; rank < 3; ++rank) ranks.push_back(std::make_unique<Rank>(3, id, rank));
  const float values[] = {1e8F, 1.0F, -1e8F};
  comm::CudaEvent done = nullptr;
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(ranks[i]->state(), 0);
    std::memcpy(ranks[i]->memory, &values[i], sizeof(float));
    EXPECT_EQ(ranks[i]->sum(1), 0);
  }
  ASSERT_EQ(ranks[0]->apis.cuda->event_create(done), 0);
  ASSERT_EQ(ranks[0]->apis.cuda->event_record(done, ranks[0]->stream), 0);
  ASSERT_TRUE(ranks[0]->passed(done));

  float sum = 7;
  std::memcpy(&sum, ranks[0]->memory, sizeof sum);
  EXPECT_EQ(sum, (values[0] + values[1]) + values[2]);
  EXPECT_EQ(ranks[0]->apis.cuda->event_destroy(done), 0);
}

TEST(FakeGpu, use_before_the_initialisation_is_complete_is_caught) {
  const comm::NcclId id = new_id();
  Rank early(2, id, 0);
  EXPECT_EQ(early.state(), comm::kNcclInProgress);

  EXPECT_EQ(early.sum(8), 5);

  EXPECT_THAT(early.said(), HasSubstr("before its initialisation was complete"));
}

/// What rank 1 of two hears when rank 0 sums eight floats and it makes another `call`.
std::string caught(const std::function<int(Rank&)>& call) {
  const comm::NcclId id = new_id();
  Rank zero(2, id, 0);
  Rank one(2, id, 1);
  EXPECT_EQ(zero.sum(8), 0);
  EXPECT_EQ(call(one), 0);
  EXPECT_EQ(one.state_after(0), 5);
  for (Rank* const rank : {&zero, &one}) {
    EXPECT_EQ(rank->apis.nccl->comm_abort(rank->handle), 0);
  }
  return one.said();
}

TEST(FakeGpu, sizes_and_types_that_differ_are_caught) {
  EXPECT_THAT(caught([](Rank& one) { return one.sum(9); }), HasSubstr("made different calls"));
  EXPECT_THAT(caught([](Rank& one) { return one.sum(8, DType::kInt64); }),
              HasSubstr("made different calls"));
}

TEST(FakeGpu, an_order_that_differs_is_caught) {
  EXPECT_THAT(caught([](Rank& one) {
                return one.apis.nccl->broadcast(one.memory, one.memory, 8, DType::kFloat32, 0,
                                                one.handle, one.stream);
              }),
              HasSubstr("broadcast(from rank 0, float32 x 8)"));
}

TEST(FakeGpu, memory_freed_while_a_call_uses_it_is_caught) {
  const comm::NcclId id = new_id();
  Rank zero(2, id, 0);
  Rank one(2, id, 1);
  EXPECT_EQ(zero.sum(8), 0);  // waits for rank 1

  EXPECT_EQ(zero.apis.nccl->mem_free(zero.memory), 5);
  EXPECT_THAT(zero.apis.nccl->last_error(nullptr), HasSubstr("a call in flight uses"));

  comm::CudaEvent done = nullptr;
  EXPECT_EQ(one.sum(8), 0);
  ASSERT_EQ(zero.apis.cuda->event_create(done), 0);
  ASSERT_EQ(zero.apis.cuda->event_record(done, zero.stream), 0);
  ASSERT_TRUE(zero.passed(done));
  EXPECT_EQ(zero.apis.nccl->mem_free(zero.memory), 0);
  EXPECT_EQ(zero.apis.cuda->event_destroy(done), 0);
}

TEST(FakeGpu, memory_of_the_host_is_caught) {
  Rank alone(1, new_id(), 0);
  float value = 0;

  EXPECT_EQ(alone.apis.nccl->all_reduce(&value, &value, 1, DType::kFloat32, ReduceOp::kSum,
                                        alone.handle, alone.stream),
            4);
  EXPECT_THAT(alone.said(), HasSubstr("not memory of the device"));
}

TEST(FakeGpu, copies_that_would_hold_the_caller_up_are_caught) {
  Rank alone(1, new_id(), 0);
  comm::CudaApi& cuda = *alone.apis.cuda;
  void* locked = nullptr;
  ASSERT_EQ(cuda.host_alloc(locked, 16), 0);
  float value = 0;

  EXPECT_EQ(cuda.memcpy_async(alone.memory, &value, sizeof value, alone.stream), 1);
  EXPECT_EQ(cuda.memcpy_async(&value, alone.memory, sizeof value, alone.stream), 1);
  EXPECT_EQ(cuda.memcpy_async(alone.memory, locked, 17, alone.stream), 1) << "17 of 16 bytes";
  EXPECT_EQ(cuda.memcpy_async(alone.memory, locked, 16, alone.stream), 0);
  EXPECT_EQ(cuda.stream_destroy(alone.stream), 0);
  EXPECT_EQ(cuda.host_free(locked), 0);
  EXPECT_EQ(cuda.host_free(locked), 1);
}

TEST(FakeGpu, calls_after_an_abort_are_caught_and_peers_are_told) {
  const comm::NcclId id = new_id();
  Rank zero(2, id, 0);
  Rank one(2, id, 1);
  EXPECT_EQ(zero.apis.nccl->comm_abort(zero.handle), 0);

  EXPECT_EQ(zero.sum(8), 5);
  EXPECT_THAT(zero.said(), HasSubstr("used after it was aborted"));
  EXPECT_EQ(one.state(), 6);
  EXPECT_THAT(one.said(), HasSubstr("a peer has aborted"));
}

TEST(FakeGpu, words_for_faults_hold_for_their_rank) {
  const Faults all = parse_faults("delay_us=5,1:stall=3,0:init=never", 1);
  EXPECT_EQ(all.delay_us, 5);
  EXPECT_EQ(all.stall, 3);
  EXPECT_FALSE(all.init_never);
  EXPECT_THROW(static_cast<void>(parse_faults("1:stal=3", 1)), std::invalid_argument);
}

}  // namespace
}  // namespace atelier::tests
