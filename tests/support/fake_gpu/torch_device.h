// A made-up GPU for LibTorch: its device "privateuseone", over FakeMemory, which FakeNccl sums too.
// Kernels are the CPU's, over the same bytes, shapes and strides, so that results equal the CPU's
// bit for bit, in backward passes too; but group_norm, for which LibTorch keeps channels_last on CPUs
// alone, is contiguous as on a GPU. What the host may not do with a GPU fails here: a touch of a tensor's memory is a
// SIGSEGV, tensors of both devices in one operator are an error. All work is done when it is asked
// for: streams and events keep LibTorch's rules but order nothing. Random numbers that name no
// generator come from the CPU's default one. Thread safety: as LibTorch, any thread.
#pragma once

#include <cstdint>
#include <memory>

#include "tests/support/fake_gpu/fake_cuda.h"

namespace atelier::tests {

/// Makes "privateuseone:0" exist, and protects `memory` from the host. Requires: before the first
/// tensor on it and before the first backward pass on any device, because LibTorch starts one
/// thread per device there. A second call in one process throws std::logic_error. Lifetime:
/// LibTorch keeps what is registered, `memory` too, until the process ends.
void register_torch_device(std::shared_ptr<FakeMemory> memory);

/// Times that values went to the host so far: copies, .item(), and operators whose result's shape
/// or value the host must learn (nonzero, equal, indexing with a mask).
[[nodiscard]] std::int64_t copies_to_host();

/// Times that a GPU would have made the calling thread wait so far: blocking copies in either
/// direction and copies of memory that is not pinned, what copies_to_host() counts beside copies,
/// synchronised streams, events and devices.
[[nodiscard]] std::int64_t waits_of_host();

}  // namespace atelier::tests
