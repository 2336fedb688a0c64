#include "data/large_memory.h"

#include <cstdlib>
#include <new>

#include <sys/mman.h>

namespace atelier::data {

std::shared_ptr<std::byte> large_memory(std::size_t bytes) {
  constexpr std::size_t kPage = 4096;
  constexpr std::size_t kLargePage = 2U << 20U;
  const std::size_t unit = bytes < kLargePage ? kPage : kLargePage;
  const std::size_t size = (bytes + unit - 1) / unit * unit;
  std::shared_ptr<std::byte> memory(static_cast<std::byte*>(std::aligned_alloc(unit, size)),
                                    std::free);
  if (memory == nullptr) throw std::bad_alloc();
  if (unit == kLargePage) ::madvise(memory.get(), size, MADV_HUGEPAGE);
  return memory;
}

}  // namespace atelier::data
