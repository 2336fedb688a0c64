// MANIFEST.json: what a checkpoint consists of, and the hash of every piece of it, so that damage
// is named with its file and offset. It is written last and carries its own hash; a folder without
// a whole manifest is not a checkpoint. FORMAT.md has the grammar. Thread safety: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace atelier::checkpoints {

inline constexpr std::string_view kManifestName = "MANIFEST.json";
inline constexpr std::string_view kStateName = "state.json";
inline constexpr int kFormatMajor = 1;
inline constexpr int kFormatMinor = 0;
inline constexpr std::uint64_t kDefaultChunkBytes = 8U << 20U;
inline constexpr std::uint64_t kMaxManifestBytes = 16U << 20U;

struct FileRecord {
  std::string name;
  std::uint64_t bytes = 0;
  std::vector<std::uint64_t> hashes;  ///< XXH3-64, one per chunk; the last chunk may be shorter
  bool operator==(const FileRecord&) const = default;
};

struct Manifest {
  std::int64_t step = 0;
  std::uint64_t chunk_bytes = kDefaultChunkBytes;
  std::vector<FileRecord> files;
  bool operator==(const Manifest&) const = default;

  [[nodiscard]] std::uint64_t bytes() const;
  [[nodiscard]] std::string to_text() const;
  /// `label` names the file in errors. Throws: CheckpointError (damaged or not a manifest),
  /// ConfigError (whole, but of a newer major format).
  [[nodiscard]] static Manifest parse(std::string_view text, std::string_view label);
};

/// Letters, digits, '.', '_' and '-', not starting with '.': a name that stays in its folder.
[[nodiscard]] bool is_plain_name(std::string_view name);

}  // namespace atelier::checkpoints
