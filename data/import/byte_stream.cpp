#include "data/import/byte_stream.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <archive.h>
#include <archive_entry.h>

#include "data/raw_file.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

class FileStream final : public ByteStream {
 public:
  explicit FileStream(const Path& path) : file_(path, RawFile::Mode::kRead), left_(file_.size()) {}

  std::size_t read(std::span<std::byte> out) override {
    const std::size_t bytes = std::min<std::uint64_t>(out.size(), left_);
    file_.read_at(at_, out.first(bytes));
    at_ += bytes;
    left_ -= bytes;
    return bytes;
  }

 private:
  RawFile file_;
  std::uint64_t at_ = 0;
  std::uint64_t left_;
};

// libarchive calls back for packed bytes; what is thrown there waits until its C code has returned.
class Unpacked final : public ByteStream {
 public:
  explicit Unpacked(ByteStream& packed) : packed_(packed) {
    archive_read_support_format_raw(reader_.get());
    archive_read_support_filter_gzip(reader_.get());
    archive_entry* entry = nullptr;
    const int opened = archive_read_open(reader_.get(), this, nullptr, &Unpacked::give, nullptr);
    if (opened != ARCHIVE_OK) fail();
    const int status = archive_read_next_header(reader_.get(), &entry);
    empty_ = status == ARCHIVE_EOF;
    if (status < ARCHIVE_WARN) fail();
  }

  std::size_t read(std::span<std::byte> out) override {
    std::size_t done = 0;
    while (!empty_ && done < out.size()) {
      const la_ssize_t got = archive_read_data(reader_.get(), &out[done], out.size() - done);
      if (got < 0) fail();
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

 private:
  struct Close {
    void operator()(archive* reader) const { archive_read_free(reader); }
  };

  static la_ssize_t give(archive* reader, void* self, const void** bytes) {
    auto& stream = *static_cast<Unpacked*>(self);
    try {
      *bytes = stream.piece_.data();
      return static_cast<la_ssize_t>(stream.packed_.read(stream.piece_));
    } catch (...) {
      stream.problem_ = std::current_exception();
      archive_set_error(reader, EIO, "its bytes cannot be read");
      return -1;
    }
  }

  [[noreturn]] void fail() {
    if (problem_) std::rethrow_exception(problem_);
    const char* const why = archive_error_string(reader_.get());
    throw DataError(text("it cannot be unpacked: ", why == nullptr ? "it is damaged" : why));
  }

  ByteStream& packed_;
  std::array<std::byte, std::size_t{1} << 16U> piece_{};
  std::exception_ptr problem_;
  std::unique_ptr<archive, Close> reader_{archive_read_new()};
  bool empty_ = false;
};

// The bytes that were looked at, then the rest.
class Rejoined final : public ByteStream {
 public:
  Rejoined(std::vector<std::byte> begin, ByteStream& rest)
      : begin_(std::move(begin)), rest_(rest) {}

  std::size_t read(std::span<std::byte> out) override {
    const std::size_t first = std::min(out.size(), begin_.size() - at_);
    std::copy_n(begin_.begin() + static_cast<std::ptrdiff_t>(at_), first, out.begin());
    at_ += first;
    return first + (first < out.size() ? rest_.read(out.subspan(first)) : 0);
  }

 private:
  std::vector<std::byte> begin_;
  std::size_t at_ = 0;
  ByteStream& rest_;
};

class UnpackedOfRejoined final : public ByteStream {
 public:
  explicit UnpackedOfRejoined(std::unique_ptr<ByteStream> packed)
      : packed_(std::move(packed)), unpacked_(*packed_) {}
  std::size_t read(std::span<std::byte> out) override { return unpacked_.read(out); }

 private:
  std::unique_ptr<ByteStream> packed_;
  Unpacked unpacked_;
};

}  // namespace

std::size_t PieceStream::read(std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    if (left_.empty()) left_ = next();
    if (left_.empty()) break;
    const std::size_t bytes = std::min(out.size() - done, left_.size());
    std::copy_n(left_.begin(), bytes, out.begin() + static_cast<std::ptrdiff_t>(done));
    left_ = left_.subspan(bytes);
    done += bytes;
  }
  return done;
}

std::vector<std::byte> read_all(ByteStream& stream, std::size_t most) {
  constexpr std::size_t kPiece = std::size_t{1} << 12U;  // most images are small
  std::vector<std::byte> bytes(std::min(kPiece, most + 1));
  std::size_t done = 0;
  for (;;) {
    const std::size_t got = stream.read(std::span(bytes).subspan(done));
    done += got;
    if (done > most) throw DataError(text("it has more than ", human_bytes(most)));
    if (done < bytes.size()) break;
    bytes.resize(std::min(most + 1, done + std::max(done, kPiece)));
  }
  bytes.resize(done);
  return bytes;
}

void read_exactly(ByteStream& stream, std::span<std::byte> out) {
  if (stream.read(out) < out.size()) throw DataError("it ends too early");
}

std::unique_ptr<ByteStream> open_file(const Path& path) {
  return std::make_unique<FileStream>(path);
}

std::unique_ptr<ByteStream> unpacked(ByteStream& stream) {
  std::vector<std::byte> begin(2);
  begin.resize(stream.read(begin));
  const bool gzip = begin == std::vector{std::byte{0x1F}, std::byte{0x8B}};
  auto whole = std::make_unique<Rejoined>(std::move(begin), stream);
  if (!gzip) return whole;
  return std::make_unique<UnpackedOfRejoined>(std::move(whole));
}

}  // namespace atelier::data
