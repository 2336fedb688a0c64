// How the ranks of a job share one measurement: contiguous parts of the rows, rows gathered to
// every rank, sums and minima over all ranks in double precision where sums are concerned.
// Thread safety: as the Comm.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <torch/torch.h>

#include "launch/comm/comm.h"
#include "trainer/quality/distances.h"

namespace atelier::quality {

/// The part of `count` rows that belongs to `rank`: ceil(count / world) rows each, fewer at the
/// end.
[[nodiscard]] RowRange rows_of_rank(std::int64_t count, int rank, int world);

/// All `count` rows from the parts that `rows_of_rank` names, equal bits on every rank.
/// Shapes: [part,...] → [count,...]; float32, float64, int64 or uint8. Collective: all ranks.
[[nodiscard]] torch::Tensor gather_rows(const torch::Tensor& part, std::int64_t count,
                                        comm::Comm& comm);

/// Replaces each value by its sum over all ranks. Collective: all ranks.
void sum_over_ranks(std::span<double> values, comm::Comm& comm, std::string_view label);
void sum_over_ranks(torch::Tensor& values, comm::Comm& comm, std::string_view label);

/// Replaces each value by its minimum over all ranks. Requires: contiguous. Collective: all ranks.
void min_over_ranks(torch::Tensor& values, comm::Comm& comm, std::string_view label);

}  // namespace atelier::quality
