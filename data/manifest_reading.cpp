#include <algorithm>
#include <bit>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "data/manifest.h"
#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/json.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::uint64_t kMaxSamples = std::uint64_t{1} << 40U;

/// Typed access to one JSON object; every complaint names the file and the field.
class Fields {
 public:
  Fields(const nlohmann::json& object, const Path& file, std::string where)
      : object_(object), file_(file), where_(std::move(where)) {
    if (!object_.is_object()) fail("", "is no object");
  }

  [[noreturn]] void fail(std::string_view key, std::string_view found) const {
    throw DataError(
        text("Cannot accept '", file_.string(), "': ", where_, key, " ", found, "."),
        "The manifest is damaged or not made by this program; make or import the dataset again.");
  }
  [[nodiscard]] bool has(const char* key) const { return object_.contains(key); }
  [[nodiscard]] const nlohmann::json& at(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end()) fail(key, "is missing");
    return *found;
  }
  [[nodiscard]] std::string string(const char* key) const {
    const nlohmann::json& value = at(key);
    if (!value.is_string()) fail(key, "is no text");
    return value.get<std::string>();
  }
  [[nodiscard]] bool boolean(const char* key) const {
    const nlohmann::json& value = at(key);
    if (!value.is_boolean()) fail(key, "is neither true nor false");
    return value.get<bool>();
  }
  [[nodiscard]] std::uint64_t number(const char* key, std::uint64_t low, std::uint64_t high) const {
    return in_range(key, at(key), low, high);
  }
  [[nodiscard]] std::vector<std::uint64_t> numbers(const char* key, std::uint64_t high) const {
    std::vector<std::uint64_t> out;
    for (const nlohmann::json& item : array(key)) out.push_back(in_range(key, item, 0, high));
    return out;
  }
  [[nodiscard]] std::vector<std::string> strings(const char* key) const {
    std::vector<std::string> out;
    for (const nlohmann::json& item : array(key)) {
      if (!item.is_string()) fail(key, "holds something that is no text");
      out.push_back(item.get<std::string>());
    }
    return out;
  }
  [[nodiscard]] const nlohmann::json& array(const char* key) const {
    const nlohmann::json& value = at(key);
    if (!value.is_array()) fail(key, "is no list");
    return value;
  }
  [[nodiscard]] std::string hash(const char* key) const {
    std::string value = string(key);
    if (!from_hex(value)) fail(key, "is no hash of 16 hex digits");
    return value;
  }
  [[nodiscard]] Fields object(const char* key) const { return {at(key), file_, text(key, ".")}; }
  [[nodiscard]] Fields item(const nlohmann::json& value, std::string where) const {
    return {value, file_, std::move(where)};
  }

 private:
  [[nodiscard]] std::uint64_t in_range(const char* key, const nlohmann::json& value,
                                       std::uint64_t low, std::uint64_t high) const {
    if (!value.is_number_unsigned()) fail(key, "is no whole number");
    const auto number = value.get<std::uint64_t>();
    if (number < low || number > high)
      fail(key, text("is ", number, ", outside ", low, " to ", high));
    return number;
  }

  const nlohmann::json& object_;
  const Path& file_;
  std::string where_;
};

void check_own_hash(std::string_view content, const Path& file) {
  const std::size_t key = content.rfind(kManifestHashKey);
  const std::size_t at = key + kManifestHashKey.size();
  std::string found = "none";
  std::string zeroed(content);
  if (key != std::string_view::npos && content.size() >= at + kManifestNoHash.size()) {
    found = content.substr(at, kManifestNoHash.size());
    zeroed.replace(at, kManifestNoHash.size(), kManifestNoHash);
  }
  const std::string expected = to_hex(xxh3_64(zeroed));
  if (found == expected) return;
  throw DataError(text("The manifest '", file.string(), "' is damaged: it states the hash ", found,
                       " and its content has ", expected, "."),
                  "Restore it from a copy, or make or import the dataset again.");
}

void check_version(const Fields& fields, const Path& file) {
  if (fields.string("format") != kManifestFormat) fields.fail("format", "is not 'atelier-dataset'");
  const std::string version = fields.string("format_version");
  if (can_read_format(version)) return;
  throw DataError(text("The dataset '", file.parent_path().string(), "' has format version '",
                       version, "' and this program reads ", kReadFormats, "."),
                  "Use a newer program, or make or import the dataset again.");
}

Packing parse_packing(const Fields& fields) {
  if (!fields.has("storage")) return {};  // format 1.0
  const std::string storage = fields.string("storage");
  const bool encoded = storage == storage_name(Storage::kEncoded);
  const auto packing = packing_from_names(storage, encoded ? fields.string("fit") : kFitNames[0],
                                          encoded ? fields.string("filter") : kFilterNames[0]);
  if (!packing) fields.fail("storage", "or fit or filter is none that this program knows");
  return *packing;
}

std::vector<Table> parse_tables(const Fields& fields, const Manifest& manifest) {
  constexpr std::uint64_t kMaxExtent = 1U << 16U;
  std::vector<Table> tables;
  std::set<std::string> names;
  for (const nlohmann::json& value : fields.array("tables")) {
    const Fields item = fields.item(value, text("tables[", tables.size(), "]."));
    Table table;
    table.name = item.string("name");
    const auto element = element_from_name(item.string("element"));
    if (!element) item.fail("element", "names no known type");
    table.element = *element;
    table.row_shape = item.numbers("row_shape", kMaxExtent);
    if (table.row_shape.size() > 3) item.fail("row_shape", "has more than three extents");
    if (table.element == Element::kText && table.row_shape.size() != 1)
      item.fail("row_shape", "of a text is not one number");
    if (table.row_bytes() == 0) item.fail("row_shape", "holds a zero");
    const std::uint64_t rows = item.number("block_rows", 1, kMaxSamples);
    const bool may_be_fewer = manifest.packing.varies() && tables.empty();
    if (may_be_fewer && rows < table.block_rows() && std::has_single_bit(rows)) {
      table.fewer_rows = rows;
    } else if (rows != table.block_rows()) {
      item.fail("block_rows", text("is not ", table.block_rows()));
    }
    if (table.name.empty() || table.name.find_first_of("/.") != std::string::npos ||
        !names.insert(table.name).second)
      item.fail("name", "is empty, holds '/' or '.', or is there twice");
    tables.push_back(std::move(table));
  }
  std::vector<Table> required = required_tables(manifest.shape);
  if (!tables.empty()) required[kImages].fewer_rows = tables[kImages].fewer_rows;
  if (tables.size() < required.size() ||
      !std::equal(required.begin(), required.end(), tables.begin()))
    fields.fail("tables", "does not begin with images, labels and ids of the image shape");
  if (manifest.packing.varies() != (tables.back() == ends_table()) ||
      (!manifest.packing.varies() && names.contains(ends_table().name)))
    fields.fail("tables", "does not end with the table 'ends', or does without need");
  return tables;
}

SplitEntry parse_split(const Fields& fields, const Manifest& manifest) {
  SplitEntry split;
  split.num_samples = fields.number("num_samples", 0, kMaxSamples);
  split.class_counts = fields.numbers("class_counts", kMaxSamples);
  split.table_hashes = fields.strings("table_hashes");
  if (split.class_counts.size() != manifest.class_names.size())
    fields.fail("class_counts", "has not one number per class");
  if (split.table_hashes.size() != manifest.tables.size())
    fields.fail("table_hashes", "has not one hash per table");
  return split;
}

ShardEntry parse_shard(const Fields& fields, const Manifest& manifest) {
  ShardEntry shard;
  shard.file = fields.string("file");
  if (shard.file.find_first_of(std::string("/\\\0", 3)) != std::string::npos ||
      !shard.file.ends_with(".h5") || shard.file.starts_with("."))
    fields.fail("file", text("is '", shard.file, "', not the plain name of a .h5 file"));
  const auto split = split_from_name(fields.string("split"));
  if (!split) fields.fail("split", "is none of train, valid, test");
  shard.split = *split;
  shard.shard_index = fields.number("shard_index", 0, kMaxSamples);
  shard.num_samples = fields.number("num_samples", 1, kMaxSamples);
  shard.bytes = fields.number("bytes", 1, std::uint64_t{1} << 48U);
  shard.hash = fields.hash("hash");
  if (manifest.packing.varies()) shard.image_bytes = fields.number("image_bytes", 1, shard.bytes);
  const auto offsets = fields.numbers("table_offsets", shard.bytes);
  const auto hash_offsets = fields.numbers("hash_offsets", shard.bytes);
  if (offsets.size() != manifest.tables.size() || hash_offsets.size() != offsets.size())
    fields.fail("table_offsets", "or hash_offsets has not one number per table");
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    const Table& table = manifest.tables[i];
    const std::uint64_t room = shard.bytes - offsets[i];
    const bool varies = i == kImages && manifest.packing.varies();
    if ((varies ? shard.image_bytes > room : shard.num_samples > room / table.row_bytes()) ||
        table.blocks(shard.num_samples) > (shard.bytes - hash_offsets[i]) / sizeof(std::uint64_t))
      fields.fail("table_offsets", text("lets /", table.name, " end behind the file"));
    shard.places.push_back({offsets[i], hash_offsets[i]});
  }
  if (fields.number("data_offset", 0, shard.bytes) != offsets[kImages] ||
      fields.number("block_size", 1, kMaxSamples) != manifest.tables[kImages].block_rows())
    fields.fail("data_offset", "or block_size contradicts the tables");
  return shard;
}

void check_totals(const Fields& fields, const Manifest& manifest) {
  std::array<std::uint64_t, 3> samples{};
  std::array<std::uint64_t, 3> shards{};
  std::set<std::string> files;
  std::uint64_t last_split = 0;
  for (const ShardEntry& shard : manifest.shards) {
    const std::size_t split = index_of(shard.split);
    if (split < last_split || shard.shard_index != shards.at(split)++)
      fields.fail("shards", text("is out of order at '", shard.file, "'"));
    if (!files.insert(shard.file).second)
      fields.fail("shards", text("names '", shard.file, "' twice"));
    last_split = split;
    samples.at(split) += shard.num_samples;
  }
  for (const Split split : kSplits) {
    if (samples.at(index_of(split)) != manifest.splits.at(index_of(split)).num_samples) {
      fields.fail("splits",
                  text("and shards disagree on the number of ", split_name(split), " samples"));
    }
  }
  const auto channels = static_cast<std::size_t>(manifest.shape.channels);
  if (manifest.pixel_sums.size() != channels || manifest.pixel_square_sums.size() != channels)
    fields.fail("pixel_sums", "has not one number per channel");
}

}  // namespace

Manifest parse_manifest(std::string_view content, const Path& file) {
  const nlohmann::json json = parse_json_strict<DataError>(content, file.string());
  const Fields fields(json, file, "");
  check_version(fields, file);
  check_own_hash(content, file);
  Manifest manifest;
  const Fields image = fields.object("image");
  const auto side = [&](const char* key) {
    return static_cast<int>(image.number(key, 1, kMaxImageSide));
  };
  manifest.shape = {side("height"), side("width"),
                    static_cast<int>(image.number("channels", 1, 3))};
  if (manifest.shape.channels == 2) image.fail("channels", "is 2, not 1 or 3");
  manifest.class_names = fields.strings("class_names");
  manifest.factor_names = fields.strings("factor_names");
  manifest.packing = parse_packing(fields);
  manifest.tables = parse_tables(fields, manifest);
  const Fields splits = fields.object("splits");
  for (const Split split : kSplits) {
    const std::string name(split_name(split));
    manifest.splits.at(index_of(split)) = parse_split(splits.object(name.c_str()), manifest);
  }
  constexpr auto kAny = ~std::uint64_t{0};
  manifest.pixel_sums = fields.numbers("pixel_sums", kAny);
  manifest.pixel_square_sums = fields.numbers("pixel_square_sums", kAny);
  for (const nlohmann::json& value : fields.array("shards")) {
    manifest.shards.push_back(
        parse_shard(fields.item(value, text("shards[", manifest.shards.size(), "].")), manifest));
  }
  manifest.valid_from_train = fields.boolean("valid_from_train");
  manifest.source = fields.string("source");
  manifest.creator = fields.string("creator");
  manifest.created = fields.string("created");
  manifest.host = fields.string("host");
  check_totals(fields, manifest);
  if (fields.hash("dataset_id") != content_id(manifest))
    fields.fail("dataset_id", "is not the hash of the content listed");
  return manifest;
}

}  // namespace atelier::data
