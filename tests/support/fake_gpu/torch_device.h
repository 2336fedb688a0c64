// A made-up GPU for LibTorch: its device "privateuseone", over FakeMemory, which FakeNccl sums too.
// Kernels are the CPU's, over the same bytes and strides, so that results equal the CPU's bit for
// bit, backward passes too; only group_norm, whose channels_last LibTorch keeps on CPUs alone,
// turns contiguous as on a GPU. What a GPU forbids fails: the host's touch of a tensor is a
// SIGSEGV, two devices in one operator are an error. Streams and events keep LibTorch's rules but
// order nothing, as all work is done when it is asked for. Random numbers come from the CPU's
// default generator. Thread safety: as LibTorch, any thread.
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
