#include "trainer/loop/stop.h"

#include <array>
#include <atomic>
#include <csignal>

#include "launch/base/error.h"

namespace atelier::loop {
namespace {

constexpr std::array<int, 3> kSignals{SIGUSR2, SIGTERM, SIGINT};

// A signal handler gets no argument, so the flag has to be found by its name.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<int> received{0};
static_assert(std::atomic<int>::is_always_lock_free, "a handler may only touch lock-free atomics");

extern "C" void on_stop_signal(int signal) {
  // The second Ctrl-C is meant: end at once. Not so SIGTERM, which clusters like to send twice.
  if (signal == SIGINT && received.load(std::memory_order_relaxed) == SIGINT) {
    std::signal(SIGINT, SIG_DFL);
    static_cast<void>(std::raise(SIGINT));
  }
  received.store(signal, std::memory_order_relaxed);
}

}  // namespace

struct StopSignals::Impl {
  std::array<struct sigaction, kSignals.size()> before{};
};

StopSignals::StopSignals() : impl_(std::make_unique<Impl>()) {
  received.store(0);
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  action.sa_flags = SA_RESTART;
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    ATELIER_CHECK(sigaction(kSignals.at(i), &action, &impl_->before.at(i)) == 0, "sigaction");
  }
}

StopSignals::~StopSignals() {
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals.at(i), &impl_->before.at(i), nullptr);
  }
}

bool StopSignals::requested() const { return received.load(std::memory_order_relaxed) != 0; }

std::string_view StopSignals::signal_name() const {
  switch (received.load(std::memory_order_relaxed)) {
    case 0:
      return "";
    case SIGUSR2:
      return "SIGUSR2";
    case SIGTERM:
      return "SIGTERM";
    default:
      return "SIGINT";
  }
}

}  // namespace atelier::loop
