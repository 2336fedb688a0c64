#include "tests/support/fake_gpu/tape.h"

#include <atomic>
#include <stdexcept>
#include <utility>

namespace atelier::tests {
namespace {

std::atomic<Tape*>& current() {
  static std::atomic<Tape*> tape{nullptr};
  return tape;
}

}  // namespace

void Tape::begin() {
  Tape* none = nullptr;
  if (!current().compare_exchange_strong(none, this)) {
    throw std::logic_error("a recording was begun within another");
  }
}

void Tape::end() { current() = nullptr; }

Tape* Tape::recording() { return current(); }

void Tape::add(std::function<void()> work) {
  const std::scoped_lock lock(mutex_);
  work_.push_back(std::move(work));
}

void Tape::replay() const {
  for (const auto& work : work_) work();
}

}  // namespace atelier::tests
