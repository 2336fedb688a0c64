// One shard as an HDF5 file: /images, /labels, /ids and optional tables, each contiguous and
// aligned, each with its block hashes under /hashes. HDF5 lays the file out and names the offsets;
// the bytes are then written and read at those offsets directly. No clock, host or version of any
// library goes into a shard, so equal content gives equal bytes. Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/layout.h"
#include "data/packing.h"
#include "launch/base/file_system.h"

namespace atelier::data {

inline constexpr std::uint64_t kAlignment = 4096;

/// Of shard and manifest: datasets of raw images can be read by programs that know no others.
[[nodiscard]] std::string_view format_version(const Packing& packing);  ///< "1.0" or "2.0"
[[nodiscard]] bool can_read_format(std::string_view version);
inline constexpr std::string_view kReadFormats = "1.x and 2.x";

/// What a shard says about itself (HDF5 attributes and dataset shapes).
struct ShardLayout {
  ImageShape shape;
  Split split = Split::kTrain;
  std::uint64_t shard_index = 0;
  std::uint64_t num_shards = 1;
  std::uint64_t num_samples = 0;
  std::vector<std::string> class_names;
  std::vector<std::string> factor_names;  ///< columns of /factors, when there are any
  std::vector<Table> tables;
  Packing packing;
  std::uint64_t image_bytes = 0;  ///< of /images, where packing.varies()
};

/// Where a table and its block hashes (u64) start. Units: bytes from the start of the file.
struct TablePlace {
  std::uint64_t offset = 0;
  std::uint64_t hash_offset = 0;
  bool operator==(const TablePlace&) const = default;
};

/// Creates the file with room for every table; its rows still hold zeros. Returns one place per
/// table. Throws: IoError.
[[nodiscard]] std::vector<TablePlace> create_shard(const Path& file, const ShardLayout& layout);

/// Checks what HDF5 finds in the file against `expected` and returns the places of its tables.
/// Throws: DataError naming the first thing that differs.
[[nodiscard]] std::vector<TablePlace> inspect_shard(const Path& file, const ShardLayout& expected);

/// What a shard says about itself; tables behind the required ones in alphabetical order. Throws:
/// DataError when it is none, or says what cannot be.
[[nodiscard]] ShardLayout read_layout(const Path& file);

}  // namespace atelier::data
