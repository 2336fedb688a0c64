// P ranks equal one: a loss made from statistics of the global batch has the value, the gradient
// and the second derivative that one rank with the whole batch gets from plain autograd.
#include "trainer/parallel/batch_reducer.h"

#include <mutex>
#include <thread>

#include <gtest/gtest.h>

#include "launch/base/error.h"
#include "launch/comm/self_comm.h"
#include "launch/comm/thread_comm.h"
#include "trainer/parallel/tensor_buffer.h"

namespace atelier::parallel {
namespace {

constexpr std::int64_t kBatch = 11;
constexpr double kTolerance = 1e-12;

struct Derivatives {
  at::Tensor loss;        ///< of the whole batch
  at::Tensor x_gradient;  ///< of the rows at hand
  at::Tensor w_gradient;  ///< summed over ranks
  at::Tensor w_second;    ///< d/dw of |dL/dw|^2, summed over ranks
  at::Tensor x_second;    ///< d/dx of |dL/dw|^2
};

at::Tensor images() {
  return torch::arange(kBatch * 3, torch::kDouble).view({kBatch, 3}).mul(0.37).sin();
}
at::Tensor weights() { return torch::tensor({0.3, -0.8, 1.1}, torch::kDouble); }

void expect_close(const at::Tensor& found, const at::Tensor& expected, const char* what) {
  EXPECT_TRUE(found.allclose(expected, kTolerance, kTolerance))
      << what << ": " << found << " for " << expected;
}

// Any smooth non-linear functions will do: a mean over images, and a function of a batch variance.
at::Tensor per_image(const at::Tensor& x, const at::Tensor& w) { return (x * w).sum(1).tanh(); }
at::Tensor of_statistics(const at::Tensor& mean, const at::Tensor& square) {
  return (square - mean * mean + 0.1).log() * (1 + mean);
}

Derivatives whole_batch() {
  const at::Tensor x = images().requires_grad_(true);
  const at::Tensor w = weights().requires_grad_(true);
  const at::Tensor y = per_image(x, w);
  const at::Tensor loss = y.exp().mean() + of_statistics(y.mean(), y.square().mean());
  const auto first = torch::autograd::grad({loss}, {x, w}, {}, true, true);
  const auto second = torch::autograd::grad({first[1].square().sum()}, {x, w});
  return {loss.detach(), first[0].detach(), first[1].detach(), second[1], second[0]};
}

std::int64_t first_row(int rank, int world) { return kBatch * rank / world; }

Derivatives on_rank(comm::Comm& comm) {
  const BatchReducer batch(comm);
  const std::int64_t begin = first_row(comm.rank(), comm.world());
  const std::int64_t end = first_row(comm.rank() + 1, comm.world());
  const at::Tensor x = images().narrow(0, begin, end - begin).clone().requires_grad_(true);
  const at::Tensor w = weights().requires_grad_(true);
  const at::Tensor y = per_image(x, w);
  const at::Tensor mean = batch.sum(y.sum()) / kBatch;
  const at::Tensor square = batch.sum(y.square().sum()) / kBatch;
  const at::Tensor loss = y.exp().sum() / kBatch + batch.share(of_statistics(mean, square));
  const auto first = torch::autograd::grad({loss}, {x, w}, {}, true, true);
  const at::Tensor w_gradient = batch.sum(first[1]);
  const auto second =
      torch::autograd::grad({batch.share(w_gradient.square().sum())}, {x, w}, {}, true);
  return {batch.sum(loss.detach()), first[0].detach(), w_gradient.detach(), batch.sum(second[1]),
          second[0]};
}

class BatchReducerOnRanks : public ::testing::TestWithParam<int> {};

TEST_P(BatchReducerOnRanks, value_first_and_second_derivative_equal_those_of_one_rank) {
  const Derivatives expected = whole_batch();
  std::mutex one_at_a_time;

  comm::run_ranks(GetParam(), [&](comm::Comm& comm) {
    const Derivatives found = on_rank(comm);

    const std::int64_t begin = first_row(comm.rank(), comm.world());
    const auto rows = [&](const at::Tensor& whole) {
      return whole.narrow(0, begin, found.x_gradient.size(0));
    };
    const std::lock_guard lock(one_at_a_time);
    expect_close(found.loss, expected.loss, "loss");
    expect_close(found.x_gradient, rows(expected.x_gradient), "dL/dx");
    expect_close(found.w_gradient, expected.w_gradient, "dL/dw");
    expect_close(found.w_second, expected.w_second, "second derivative in w");
    expect_close(found.x_second, rows(expected.x_second), "second derivative in x");
  });
}

TEST_P(BatchReducerOnRanks, sum_takes_any_layout_and_leaves_its_input_alone) {
  comm::run_ranks(GetParam(), [](comm::Comm& comm) {
    const BatchReducer batch(comm);
    const at::Tensor local = torch::arange(6, torch::kFloat).view({2, 3}).t() + comm.rank();
    const at::Tensor before = local.clone();

    const at::Tensor sum = batch.sum(local);

    const int world = comm.world();
    const float ranks = static_cast<float>(world * (world - 1)) / 2;
    const at::Tensor expected = torch::arange(6, torch::kFloat).view({2, 3}).t() * world + ranks;
    EXPECT_TRUE(sum.equal(expected));
    EXPECT_TRUE(local.equal(before));
  });
}

INSTANTIATE_TEST_SUITE_P(Worlds, BatchReducerOnRanks, ::testing::Values(1, 2, 3, 4));

TEST(BatchReducer, shares_of_all_ranks_add_up) {
  comm::run_ranks(3, [](comm::Comm& comm) {
    const BatchReducer batch(comm);
    const at::Tensor whole = torch::tensor(1.75, torch::kDouble);
    EXPECT_EQ(batch.world(), 3);
    EXPECT_NEAR(batch.sum(batch.share(whole)).item<double>(), 1.75, 1e-15);
  });
}

// A Comm may be used by its own thread only; autograd must not move the backward elsewhere.
TEST(BatchReducer, backward_collectives_run_on_the_thread_of_the_rank) {
  comm::run_ranks(2, [](comm::Comm& comm) {
    const BatchReducer batch(comm);
    const at::Tensor x = torch::ones({2}).requires_grad_(true);
    std::thread::id thread;
    std::uint64_t calls = 0;
    const at::Tensor sum = batch.sum(x);
    sum.register_hook([&](const at::Tensor&) {
      thread = std::this_thread::get_id();
      calls = comm.sequence();
    });

    sum.sum().backward();

    EXPECT_EQ(thread, std::this_thread::get_id());
    EXPECT_EQ(comm.sequence(), calls + 1);
    EXPECT_TRUE(x.grad().equal(torch::full({2}, 2.0)));
  });
}

TEST(TensorBuffer, describes_the_memory_of_a_tensor) {
  const at::Tensor tensor = torch::zeros({3, 4}, torch::kDouble);

  const comm::Buffer buffer = buffer_of(tensor);

  EXPECT_EQ(buffer.data, tensor.data_ptr());
  EXPECT_EQ(buffer.count, 12U);
  EXPECT_EQ(buffer.dtype, comm::DType::kFloat64);
  EXPECT_EQ(buffer.place, comm::Place::kHost);
  EXPECT_EQ(buffer.bytes(), tensor.nbytes());
}

TEST(TensorBuffer, refuses_what_no_collective_can_move) {
  EXPECT_THROW(static_cast<void>(buffer_of(torch::zeros({3, 4}).t())), InternalError);
  EXPECT_THROW(static_cast<void>(buffer_of(torch::zeros({3}, torch::kHalf))), InternalError);
}

TEST(TensorBuffer, element_sizes_agree_with_torch) {
  for (const at::ScalarType type :
       {torch::kFloat, torch::kDouble, torch::kBFloat16, torch::kLong, torch::kByte}) {
    EXPECT_EQ(comm::size_of(dtype_of(type)), c10::elementSize(type));
  }
}

}  // namespace
}  // namespace atelier::parallel
