// libjpeg alone: what decoding costs where nothing else is done. Thread safety: one thread each.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "data/layout.h"

namespace atelier::bench {

class JpegAlone {
 public:
  JpegAlone();
  ~JpegAlone();
  JpegAlone(const JpegAlone&) = delete;
  JpegAlone& operator=(const JpegAlone&) = delete;
  /// Shapes: out [H, W, C] of `shape`. Throws: RefusedError when the file is no JPEG of that size.
  void decode(std::span<const std::byte> file, const data::ImageShape& shape,
              std::span<std::uint8_t> out);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace atelier::bench
