// Samples that lie all over memory, copied one behind the other. Thread safety: pure.
#pragma once

#include <cstddef>
#include <span>

namespace atelier::data {

/// Work that may be left in the middle (guarded.h).
struct Gather {
  std::span<const std::byte* const> from;
  std::size_t bytes;  ///< of each
  std::byte* out;

  void operator()() const;
};

}  // namespace atelier::data
