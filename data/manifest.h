// manifest.json: the one description of a dataset folder, for all its splits. It is written last,
// so a folder with a manifest is whole; it carries a hash of itself and of every shard, and alone
// holds clocks, host and creator. FORMAT.md documents every field. Thread safety: values.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/layout.h"
#include "data/packing.h"
#include "data/shard_layout.h"
#include "launch/base/file_system.h"

namespace atelier::data {

inline constexpr std::string_view kManifestName = "manifest.json";
inline constexpr std::string_view kManifestFormat = "atelier-dataset";
/// Before the manifest's own hash, and what stands for it while it is computed.
inline constexpr std::string_view kManifestHashKey = "\"manifest_hash\": \"";
inline constexpr std::string_view kManifestNoHash = "0000000000000000";

struct ShardEntry {
  std::string file;  ///< a plain name inside the dataset folder
  Split split = Split::kTrain;
  std::uint64_t shard_index = 0;  ///< within its split
  std::uint64_t num_samples = 0;
  std::uint64_t bytes = 0;
  std::string hash;                ///< XXH3-64 of the whole file
  std::vector<TablePlace> places;  ///< one per table
  std::uint64_t image_bytes = 0;   ///< of /images, where they vary
};

struct SplitEntry {
  std::uint64_t num_samples = 0;
  std::vector<std::uint64_t> class_counts;  ///< one per class
  std::vector<std::string> table_hashes;    ///< one per table: XXH3-64 of its rows over all shards
};

struct Manifest {
  ImageShape shape;
  std::vector<std::string> class_names;
  std::vector<std::string> factor_names;
  std::vector<Table> tables;  ///< images, labels, ids, others; ends where images' bytes vary
  Packing packing;
  std::array<SplitEntry, 3> splits;
  std::vector<std::uint64_t> pixel_sums;         ///< per channel, over train
  std::vector<std::uint64_t> pixel_square_sums;  ///< per channel, over train
  std::vector<ShardEntry> shards;                ///< by split, then index
  bool valid_from_train = false;                 ///< valid was cut from train by held_out()
  std::string source;
  std::string creator;
  std::string created;  ///< ISO 8601, UTC
  std::string host;
};

/// Tables behind the required ones.
[[nodiscard]] std::vector<Table> extra_tables(const Manifest& manifest);

/// Identity of the content (16 hex digits): shape, class and factor names, tables and their rows.
/// Neither the cutting into shards nor clocks enter, nor whether pixels are deflated.
[[nodiscard]] std::string content_id(const Manifest& manifest);

/// The file's text, with its own hash.
[[nodiscard]] std::string to_json(const Manifest& manifest);

/// Reads and checks every field. Throws: DataError naming `file` and the field.
[[nodiscard]] Manifest parse_manifest(std::string_view content, const Path& file);

/// What shard `entry` has to say about itself.
[[nodiscard]] ShardLayout layout_of(const Manifest& manifest, const ShardEntry& entry);

}  // namespace atelier::data
