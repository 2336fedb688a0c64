// The safetensors file format: u64 header length, JSON header, one data buffer without holes. The
// writer lays tensors out as the format's own library does (descending element type, then name;
// header padded with spaces to a multiple of 8 bytes), so the same tensors give the same bytes.
// The reader takes nothing on trust: FORMAT.md lists what it refuses, and its memory is bounded by
// the size of the file. Thread safety: values; a SafetensorsReader has one user at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoints/tensor.h"
#include "launch/base/file_system.h"

namespace atelier::checkpoints {

inline constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

using Metadata = std::map<std::string, std::string>;
using ByteSink = std::function<void(std::span<const std::byte>)>;

/// A tensor's place in the data buffer. Units: bytes from the start of that buffer.
struct TensorPlace : TensorSpec {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<TensorPlace> tensors;  ///< by place
  Metadata metadata;
};

/// Reads the JSON text of a header whose file holds `data_bytes` after it. `label` names the file
/// in errors. Throws: CheckpointError naming the rule that is broken.
[[nodiscard]] SafetensorsHeader parse_header(std::string_view json, std::uint64_t data_bytes,
                                             std::string_view label);

/// Header and order of a file to be written. Lifetime: the bytes of `tensors` outlive the image.
/// Requires: distinct names other than "__metadata__", bytes that fit shape and type (checked).
class SafetensorsImage {
 public:
  explicit SafetensorsImage(std::span<const TensorView> tensors, const Metadata& metadata = {});
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  /// Hands the whole file to `sink`, front to back.
  void write(const ByteSink& sink) const;

 private:
  std::vector<TensorView> ordered_;
  std::string head_;  ///< length and header
  std::uint64_t bytes_ = 0;
};

/// A whole file in memory; tensors are views into it, aligned to their element size.
/// Throws (parse): CheckpointError naming the rule that is broken.
class SafetensorsFile {
 public:
  [[nodiscard]] static SafetensorsFile parse(std::vector<std::byte> bytes, std::string_view label);
  SafetensorsFile(SafetensorsFile&&) = default;
  SafetensorsFile& operator=(SafetensorsFile&&) = default;
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;
  ~SafetensorsFile() = default;

  /// Lifetime: of the file; moving it keeps views valid.
  [[nodiscard]] const std::vector<TensorView>& tensors() const { return tensors_; }
  /// Throws: CheckpointError when there is no such tensor.
  [[nodiscard]] const TensorView& tensor(std::string_view name) const;
  [[nodiscard]] const Metadata& metadata() const { return metadata_; }

 private:
  SafetensorsFile() = default;
  std::string label_;
  std::vector<std::byte> bytes_;
  std::vector<TensorView> tensors_;
  Metadata metadata_;
};

/// Reads the header at once and tensors one by one, for files larger than memory.
/// Throws: CheckpointError (broken rule, no such tensor), IoError. Lifetime: `files` outlives it.
class SafetensorsReader {
 public:
  SafetensorsReader(FileSystem& files, Path path);
  [[nodiscard]] const SafetensorsHeader& header() const { return header_; }
  [[nodiscard]] TensorData read(const TensorPlace& place) const;
  [[nodiscard]] TensorData read(std::string_view name) const;

 private:
  FileSystem& files_;
  Path path_;
  std::uint64_t data_begin_ = 0;
  SafetensorsHeader header_;
};

}  // namespace atelier::checkpoints
