// Work on a few threads: no more of it waits than they can use. Thread safety: add() and finish()
// from one thread.
#pragma once

#include <functional>
#include <memory>

namespace atelier::data {

class WorkPool {
 public:
  /// Threads carry `name`; at least one.
  WorkPool(int threads, const char* name);
  ~WorkPool();
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;

  /// Waits while much is waiting. Pieces worth some milliseconds each are best. Throws: what other
  /// work threw.
  void add(std::function<void()> work);
  /// Returns when everything added is done. Throws: what work threw.
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace atelier::data
