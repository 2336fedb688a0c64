// Reading mapped files whose bytes may go away: a file that is truncated, or a disk that fails,
// under a mapping raises SIGBUS where it is read. Thread safety: all calls.
#pragma once

namespace atelier::data {

namespace detail {
[[nodiscard]] bool run_guarded(void (*work)(void*), void* context);
}

/// Runs `work`; false when it met SIGBUS, somewhere on its way. It is left at that very instruction
/// then, so it may copy and compute, but not own anything, lock or throw.
template <typename Work>
[[nodiscard]] bool without_bus_error(Work& work) {
  return detail::run_guarded([](void* context) { (*static_cast<Work*>(context))(); }, &work);
}

}  // namespace atelier::data
