// Where the tensors of a rank live: on the host, or on the accelerator that LibTorch knows (a CUDA
// device; in tests a made-up one). A communicator whose memory is a device's trains on that device.
// All of this goes through LibTorch's general device interface. Thread safety: streams are those of
// the calling thread; configure() is called once, before the first operation.
#pragma once

#include <torch/torch.h>

#include "launch/comm/comm.h"
#include "trainer/device/config.h"

namespace atelier::device {

/// Loads LibTorch's part for CUDA, once. Programs are not linked to it: it is large, and on a host
/// nothing of it is needed. Requires: before anything has asked LibTorch about GPUs. Throws:
/// DeviceError.
void load_cuda_kernels();

/// The device of this rank: the host, where that can touch what `comm` allocates, else the
/// accelerator that `comm` has chosen. Throws: DeviceError.
[[nodiscard]] at::Device of(const comm::Comm& comm);

/// The queue that the calling thread's operations on `device` go to, as Comm takes it; null on
/// hosts. Lifetime: that of the process.
[[nodiscard]] void* current_stream(at::Device device);

/// Moves the calling thread to a queue of its own on `device`: no device records what stands in the
/// queue that all threads share. Nothing to do on hosts.
void use_own_queue(at::Device device);

/// Tells LibTorch how to compute on `device`. `deterministic`: the same bits in every run. Where
/// steps shall be recorded, the calling thread has a queue of its own from here on.
void configure(at::Device device, const DeviceConfig& config, bool deterministic);

/// `memory`, of `elements`, as a tensor. Lifetime: that of the memory.
[[nodiscard]] at::Tensor view_of(void* memory, std::int64_t elements, at::ScalarType type,
                                 at::Device device);

/// Memory for copies to and from `device` that run aside: page-locked, where it is no host.
/// Shapes: as given, on the host, uninitialised.
[[nodiscard]] at::Tensor staging(at::Device device, at::IntArrayRef shape, at::ScalarType type);

/// Most memory that tensors had on `device` at once; 0 where LibTorch does not count it. Units:
/// bytes.
[[nodiscard]] std::int64_t peak_bytes(at::Device device);

/// Waits until `device` has done everything that was asked of it. Nothing to do on hosts.
void synchronize(at::Device device);

}  // namespace atelier::device
