// Sums the gradients of a net over all ranks, bucket by bucket in one order on every rank.
// Thread safety: one thread.
#pragma once

#include <cstdint>
#include <string>

#include <torch/torch.h>

#include "launch/comm/comm.h"

namespace atelier::engine {

class GradientReducer {
 public:
  /// Lifetime: `comm` outlives the reducer.
  GradientReducer(comm::Comm& comm, std::int64_t bucket_bytes)
      : comm_(&comm), bucket_bytes_(bucket_bytes) {}

  /// Replaces `flat` by its sum over ranks. Shapes: [n], equal on all ranks.
  /// Collective: all ranks. Throws: CommError. Returns the bytes moved.
  std::int64_t sum(const at::Tensor& flat, const std::string& net) const;

 private:
  comm::Comm* comm_;
  std::int64_t bucket_bytes_;
};

}  // namespace atelier::engine
