// Memory in pages as large as the system has them: copies then seldom look up where a page lies,
// and a disk that writes into it is told of few pieces (measured: 2 to 3 GB/s instead of 0.6).
// Thread safety: pure.
#pragma once

#include <cstddef>
#include <memory>

namespace atelier::data {

/// Its address is a multiple of 4096. Throws: std::bad_alloc.
[[nodiscard]] std::shared_ptr<std::byte> large_memory(std::size_t bytes);

}  // namespace atelier::data
