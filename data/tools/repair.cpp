#include "data/tools/repair.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "data/dataset_writer.h"
#include "data/shard_layout.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

struct Found {
  std::string file;
  ShardLayout layout;
};

std::vector<Found> find_shards(FileSystem& files, const Path& folder) {
  std::vector<Found> found;
  for (const std::string& name : files.list(folder)) {
    if (name.ends_with(".h5")) found.push_back({name, read_layout(folder / name)});
  }
  if (found.empty()) {
    throw DataError(text("Cannot repair '", folder.string(), "': it holds no shards."),
                    "Name the folder of a dataset.");
  }
  const auto key = [](const Found& shard) {
    return std::tuple(index_of(shard.layout.split), shard.layout.shard_index, shard.file);
  };
  std::sort(found.begin(), found.end(),
            [&](const Found& a, const Found& b) { return key(a) < key(b); });
  return found;
}

void require_one_dataset(const Path& folder, const std::vector<Found>& shards) {
  const ShardLayout& first = shards.front().layout;
  std::map<Split, std::uint64_t> next;
  std::map<Split, std::uint64_t> counts;
  const auto fail = [&](const std::string& file, const std::string& why) {
    throw DataError(text("Cannot repair '", folder.string(), "': '", file, "' ", why, "."),
                    "Restore it from a copy, or remove what does not belong there.");
  };
  for (const Found& shard : shards) {
    const ShardLayout& layout = shard.layout;
    if (layout.shape != first.shape || layout.class_names != first.class_names ||
        layout.factor_names != first.factor_names || layout.tables != first.tables ||
        layout.packing != first.packing) {
      fail(shard.file, text("is of another dataset than '", shards.front().file, "'"));
    }
    const std::string wanted = shard_file_name(layout.split, next[layout.split], layout.num_shards);
    if (shard.file != wanted) fail(wanted, text("is missing; the next one is '", shard.file, "'"));
    ++next[layout.split];
    counts[layout.split] = layout.num_shards;
  }
  for (const auto& [split, count] : counts) {
    if (next[split] < count) fail(shard_file_name(split, next[split], count), "is missing");
  }
}

bool is_whole(FileSystem& files, const Path& manifest) {
  try {
    static_cast<void>(parse_manifest(files.read(manifest), manifest));
    return true;
  } catch (const DataError&) {
    return false;
  }
}

}  // namespace

Manifest repair(FileSystem& files, const Clock& clock, const Path& folder) {
  const Path manifest = folder / kManifestName;
  const bool exists = files.exists(manifest);
  if (exists && is_whole(files, manifest)) {
    throw OutputError(text("'", manifest.string(), "' is whole: there is nothing to repair."),
                      "`atelier data verify` tells what is wrong with shards.");
  }
  const std::vector<Found> shards = find_shards(files, folder);
  require_one_dataset(folder, shards);
  DatasetPlan plan;
  const ShardLayout& first = shards.front().layout;
  plan.shape = first.shape;
  plan.class_names = first.class_names;
  plan.factor_names = first.factor_names;
  plan.packing = first.packing;
  plan.block_rows = first.tables[kImages].fewer_rows;
  plan.extra_tables.assign(first.tables.begin() + kIds + 1,
                           first.tables.end() - (first.packing.varies() ? 1 : 0));
  plan.creator = "atelier data repair";
  std::vector<std::uint64_t> rows;
  for (const Found& shard : shards) {
    plan.samples.at(index_of(shard.layout.split)) += shard.layout.num_samples;
    rows.push_back(shard.layout.num_samples);
  }
  DatasetWriter writer(files, folder, plan, rows);
  for (std::size_t shard = 0; shard < writer.shards(); ++shard) writer.seal(shard);
  if (exists) files.rename(manifest, folder / text(kManifestName, ".damaged"));
  return writer.finish(clock);
}

}  // namespace atelier::data
