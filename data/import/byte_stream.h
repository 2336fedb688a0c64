// Bytes that come one after the other: of a file, of an entry of an archive, of what a compressed
// one of those holds. Thread safety: one user each.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "launch/base/file_system.h"

namespace atelier::data {

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  /// Fills all of `out`, or less at the end; 0 there. Throws: DataError when the bytes are damaged,
  /// IoError.
  [[nodiscard]] virtual std::size_t read(std::span<std::byte> out) = 0;
};

/// Bytes that come a piece at a time.
class PieceStream : public ByteStream {
 public:
  [[nodiscard]] std::size_t read(std::span<std::byte> out) final;

 private:
  /// Empty at the end. Lifetime: until the following call. Throws: as read().
  [[nodiscard]] virtual std::span<const std::byte> next() = 0;
  std::span<const std::byte> left_;
};

/// All that is left, if that is at most `most` bytes. Throws: DataError when there is more; what
/// read() throws.
[[nodiscard]] std::vector<std::byte> read_all(ByteStream& stream, std::size_t most);
/// Throws: DataError "it ends too early" unless `out` is filled; what read() throws.
void read_exactly(ByteStream& stream, std::span<std::byte> out);

/// Throws: IoError.
[[nodiscard]] std::unique_ptr<ByteStream> open_file(const Path& path);

/// What `stream` holds unpacked, if it is packed by gzip, and itself otherwise. Lifetime: that of
/// `stream`. Throws: as read().
[[nodiscard]] std::unique_ptr<ByteStream> unpacked(ByteStream& stream);

}  // namespace atelier::data
