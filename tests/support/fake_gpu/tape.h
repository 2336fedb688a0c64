// What a made-up GPU has recorded, to be repeated: its CUDA graph. While one is being recorded, the
// made-up libraries put their work onto it instead of doing it. Thread safety: one recording at a
// time in the process, begun and ended by one thread; work may come from any.
#pragma once

#include <functional>
#include <mutex>
#include <vector>

namespace atelier::tests {

class Tape {
 public:
  /// Throws: std::logic_error when another is being recorded.
  void begin();
  void end();
  /// The one that is being recorded; null when none is.
  [[nodiscard]] static Tape* recording();

  void add(std::function<void()> work);
  [[nodiscard]] std::size_t size() const { return work_.size(); }
  /// Does all of it, in order.
  void replay() const;

 private:
  std::mutex mutex_;
  std::vector<std::function<void()>> work_;
};

}  // namespace atelier::tests
