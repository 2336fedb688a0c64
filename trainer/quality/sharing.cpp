#include "trainer/quality/sharing.h"

#include <algorithm>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "trainer/parallel/tensor_buffer.h"

namespace atelier::quality {
RowRange rows_of_rank(std::int64_t count, int rank, int world) {
  ATELIER_CHECK(count >= 0 && 0 <= rank && rank < world, "a rank of the world");
  const auto part = (count + world - 1) / world;
  const auto begin = std::min(count, part * rank);
  return {begin, std::min(count, begin + part)};
}

torch::Tensor gather_rows(const torch::Tensor& part, std::int64_t count, comm::Comm& comm) {
  const auto mine = rows_of_rank(count, comm.rank(), comm.world());
  ATELIER_CHECK(part.size(0) == mine.size(),
                text("rank ", comm.rank(), " gathers ", mine.size(), " rows, has ", part.size(0)));
  auto shape = part.sizes().vec();
  shape[0] = rows_of_rank(count, 0, comm.world()).size();
  auto padded = torch::zeros(shape, part.options());  // a collective needs equal parts
  padded.slice(0, 0, part.size(0)).copy_(part.detach());
  shape[0] *= comm.world();
  auto all = torch::empty(shape, part.options());
  comm.all_gather(parallel::buffer_of(padded), parallel::buffer_of(all),
                  {.label = "rows to measure"});
  return all.slice(0, 0, count);
}

void sum_over_ranks(std::span<double> values, comm::Comm& comm, std::string_view label) {
  comm.all_reduce({values.data(), values.size(), comm::DType::kFloat64}, comm::ReduceOp::kSum,
                  {.label = label});
}

void sum_over_ranks(torch::Tensor& values, comm::Comm& comm, std::string_view label) {
  comm.all_reduce(parallel::buffer_of(values), comm::ReduceOp::kSum, {.label = label});
}

void min_over_ranks(torch::Tensor& values, comm::Comm& comm, std::string_view label) {
  comm.all_reduce(parallel::buffer_of(values), comm::ReduceOp::kMin, {.label = label});
}

}  // namespace atelier::quality
