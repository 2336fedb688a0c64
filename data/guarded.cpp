#include "data/guarded.h"

#include <csetjmp>
#include <csignal>

namespace atelier::data::detail {
namespace {

// Of this thread, while it runs guarded work.
struct WayOut {
  sigjmp_buf* to = nullptr;
};
WayOut& way_out() {
  thread_local WayOut way;
  return way;
}

// Who was there before us.
struct sigaction& former() {
  static struct sigaction action {};
  return action;
}

void on_bus_error(int /*signal*/, siginfo_t* /*info*/, void* /*context*/) {
  if (way_out().to != nullptr) siglongjmp(*way_out().to, 1);
  // Not ours: the instruction is met once more, now by them.
  ::sigaction(SIGBUS, &former(), nullptr);
}

bool install() {
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  // Not blocked in the handler, which may never return.
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  return ::sigaction(SIGBUS, &action, &former()) == 0;
}

}  // namespace

bool run_guarded(void (*work)(void*), void* context) {
  static const bool installed = install();
  sigjmp_buf here;
  sigjmp_buf* const outer = way_out().to;
  // The mask of signals is not saved: that would be a system call.
  if (sigsetjmp(here, 0) != 0) {
    way_out().to = outer;
    return false;
  }
  way_out().to = installed ? &here : nullptr;
  work(context);
  way_out().to = outer;
  return true;
}

}  // namespace atelier::data::detail
