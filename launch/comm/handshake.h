// The first thing the ranks of a job say to each other: do we mean the same run? A rank started
// with another configuration or dataset would train on in silence or hang much later.
// Thread safety: as Comm.
#pragma once

#include <span>
#include <string>

#include "launch/comm/comm.h"

namespace atelier::comm {

struct NamedText {
  std::string name;   ///< "train.batch"
  std::string value;  ///< "64"
};

/// Throws ConfigError on every rank when any rank's items differ from those of rank 0, naming the
/// ranks and keys with both values, five at most. Collective: all ranks. Throws: CommError.
void require_equal(Comm& comm, std::span<const NamedText> items);

}  // namespace atelier::comm
