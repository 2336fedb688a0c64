// The arithmetic of the host backends: element-wise reduction of several inputs in rank order.
// The same inputs give the same bits whatever the instruction set, the block size or the number of
// threads: each element is (((in0 op in1) op in2) ...), bfloat16 in float32 and rounded once.
// Thread safety: pure functions.
#pragma once

#include <cstddef>
#include <span>

#include "launch/comm/comm.h"

namespace atelier::comm {

/// Reduces `count` elements of all `inputs` into `out`, which may be one of the inputs (at the same
/// place, not overlapping otherwise). Integers wrap around; a NaN wins over numbers in min and max.
void reduce_into(void* out, std::span<const std::byte* const> inputs, std::size_t count,
                 DType dtype, ReduceOp op);

}  // namespace atelier::comm
