#include "data/manifest.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

using Json = nlohmann::ordered_json;

Json shape_json(const ImageShape& shape) {
  return {{"height", shape.height}, {"width", shape.width}, {"channels", shape.channels}};
}

Json tables_json(const Manifest& manifest) {
  Json out = Json::array();
  for (const Table& table : manifest.tables) {
    out.push_back({{"name", table.name},
                   {"element", element_name(table.element)},
                   {"row_shape", table.row_shape},
                   {"block_rows", table.block_rows()}});
  }
  return out;
}

Json splits_json(const Manifest& manifest) {
  Json out = Json::object();
  for (const Split split : kSplits) {
    const SplitEntry& entry = manifest.splits.at(index_of(split));
    out[std::string(split_name(split))] = {{"num_samples", entry.num_samples},
                                           {"class_counts", entry.class_counts},
                                           {"table_hashes", entry.table_hashes}};
  }
  return out;
}

Json shards_json(const Manifest& manifest) {
  Json out = Json::array();
  for (const ShardEntry& shard : manifest.shards) {
    Json offsets = Json::array();
    Json hash_offsets = Json::array();
    for (const TablePlace& place : shard.places) {
      offsets.push_back(place.offset);
      hash_offsets.push_back(place.hash_offset);
    }
    out.push_back({{"file", shard.file},
                   {"split", split_name(shard.split)},
                   {"shard_index", shard.shard_index},
                   {"num_samples", shard.num_samples},
                   {"bytes", shard.bytes},
                   {"data_offset", shard.places.at(kImages).offset},
                   {"block_size", manifest.tables.at(kImages).block_rows()},
                   {"table_offsets", offsets},
                   {"hash_offsets", hash_offsets},
                   {"hash", shard.hash}});
    if (manifest.packing.varies()) out.back()["image_bytes"] = shard.image_bytes;
  }
  return out;
}

}  // namespace

std::vector<Table> extra_tables(const Manifest& manifest) {
  const std::ptrdiff_t behind = manifest.packing.varies() ? 1 : 0;
  return {manifest.tables.begin() + kIds + 1, manifest.tables.end() - behind};
}

std::string content_id(const Manifest& manifest) {
  Hasher hash;
  const auto line = [&](const auto&... parts) { hash.update(text(parts..., "\n")); };
  line(kManifestFormat, " 1");
  line(manifest.shape.name());
  for (const std::string& name : manifest.class_names) line("class ", name);
  for (const std::string& name : manifest.factor_names) line("factor ", name);
  const std::size_t tables = manifest.tables.size() - (manifest.packing.varies() ? 1 : 0);
  if (manifest.packing.storage == Storage::kEncoded) {
    line("encoded ", fit_name(manifest.packing), " ", filter_name(manifest.packing), " ",
         kResizeVersion);
  }
  for (const Split split : kSplits) {
    const SplitEntry& entry = manifest.splits.at(index_of(split));
    line(split_name(split), " ", entry.num_samples);
    for (std::size_t i = 0; i < tables; ++i)
      line(manifest.tables[i].name, " ", entry.table_hashes.at(i));
  }
  return to_hex(hash.value());
}

std::string to_json(const Manifest& manifest) {
  const Packing& packing = manifest.packing;
  Json json = {{"format", kManifestFormat},           {"format_version", format_version(packing)},
               {"dataset_id", content_id(manifest)},  {"image", shape_json(manifest.shape)},
               {"class_names", manifest.class_names}, {"factor_names", manifest.factor_names},
               {"tables", tables_json(manifest)}};
  if (packing.varies()) json["storage"] = storage_name(packing.storage);
  if (packing.storage == Storage::kEncoded) {
    json["fit"] = fit_name(packing);
    json["filter"] = filter_name(packing);
  }
  json.update({{"splits", splits_json(manifest)},
               {"valid_from_train", manifest.valid_from_train},
               {"pixel_sums", manifest.pixel_sums},
               {"pixel_square_sums", manifest.pixel_square_sums},
               {"shards", shards_json(manifest)},
               {"source", manifest.source},
               {"creator", manifest.creator},
               {"created", manifest.created},
               {"host", manifest.host},
               {"manifest_hash", kManifestNoHash}});
  std::string content = json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
  const std::string hash = to_hex(xxh3_64(content));
  content.replace(content.rfind(kManifestHashKey) + kManifestHashKey.size(), kManifestNoHash.size(),
                  hash);
  return content;
}

ShardLayout layout_of(const Manifest& manifest, const ShardEntry& entry) {
  const auto shards = std::count_if(manifest.shards.begin(), manifest.shards.end(),
                                    [&](const ShardEntry& e) { return e.split == entry.split; });
  return {.shape = manifest.shape,
          .split = entry.split,
          .shard_index = entry.shard_index,
          .num_shards = static_cast<std::uint64_t>(shards),
          .num_samples = entry.num_samples,
          .class_names = manifest.class_names,
          .factor_names = manifest.factor_names,
          .tables = manifest.tables,
          .packing = manifest.packing,
          .image_bytes = entry.image_bytes};
}

}  // namespace atelier::data
