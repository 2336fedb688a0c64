// Decodes files on a few threads: bounded, in order of arrival, results independent of the number
// of threads. Thread safety: add() and finish() from one thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "data/import/image_source.h"

namespace atelier::data {

class DecodePool {
 public:
  /// `work` runs on the threads, for several files at once. Lifetime: until finish() or the end.
  using Work = std::function<void(std::size_t id, const SourceImage& image)>;
  DecodePool(int threads, Work work);
  ~DecodePool();
  DecodePool(const DecodePool&) = delete;
  DecodePool& operator=(const DecodePool&) = delete;

  /// Waits while the queue is full. Throws: what `work` threw.
  void add(std::size_t id, SourceImage image);
  /// Returns when everything added is done. Throws: what `work` threw.
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace atelier::data
