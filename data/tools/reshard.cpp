#include "data/tools/reshard.h"

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <vector>

#include "data/dataset_writer.h"
#include "data/reader.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

/// The rows of a split, table by table.
class Rows {
 public:
  Rows(const Dataset& dataset, Split split) : reader_(dataset, split) {
    for (const Table& table : extra_tables(dataset.manifest()))
      extra_.push_back(reader_.table(table.name));
  }

  void fill(const RowBlock& block) {
    std::vector<std::uint64_t> indices(block.count);
    std::iota(indices.begin(), indices.end(), block.first);
    const std::span<std::byte> images = block.tables[kImages];
    if (block.files.empty()) {
      reader_.read(indices, {reinterpret_cast<std::uint8_t*>(images.data()), images.size()});
    }
    for (std::size_t i = 0; i < block.files.size(); ++i)
      block.files[i] = reader_.stored(indices[i]);
    reader_.labels(indices,
                   {reinterpret_cast<std::int64_t*>(block.tables[kLabels].data()), indices.size()});
    reader_.ids(indices,
                {reinterpret_cast<std::uint64_t*>(block.tables[kIds].data()), indices.size()});
    for (std::size_t i = 0; i < extra_.size(); ++i) {
      const std::span<std::byte> rows = block.tables[kIds + 1 + i];
      const std::size_t row_bytes = rows.size() / block.count;
      std::copy_n(extra_[i].begin() + static_cast<std::ptrdiff_t>(block.first * row_bytes),
                  rows.size(), rows.begin());
    }
  }

 private:
  Reader reader_;
  std::vector<std::vector<std::byte>> extra_;
};

Packing wanted_packing(const Packing& old, std::optional<Storage> storage) {
  if (!storage || *storage == old.storage) return old;
  if (*storage == Storage::kEncoded) {
    throw ConfigError("Cannot store the pixels of a dataset as image files again.",
                      "Import the files with --storage encoded.");
  }
  return {*storage};
}

// 0 where they are pixels.
std::uint64_t mean_image_bytes(const Manifest& manifest) {
  std::uint64_t bytes = 0, count = 0;
  for (const ShardEntry& shard : manifest.shards) {
    bytes += shard.image_bytes;
    count += shard.num_samples;
  }
  return manifest.packing.varies() ? bytes / std::max<std::uint64_t>(1, count) + 1 : 0;
}

}  // namespace

Manifest reshard(FileSystem& files, const Clock& clock, const Dataset& dataset, const Path& out,
                 const ReshardOptions& options) {
  const Manifest& old = dataset.manifest();
  const Packing packing = wanted_packing(old.packing, options.storage);
  StagingFolder staging(files, out);
  DatasetPlan plan;
  plan.shape = old.shape;
  plan.class_names = old.class_names;
  plan.factor_names = old.factor_names;
  plan.extra_tables = extra_tables(old);
  plan.packing = packing;
  if (packing.storage == old.packing.storage) plan.image_bytes = mean_image_bytes(old);
  plan.shard_bytes = options.shard_bytes;
  plan.threads = options.threads;
  plan.valid_from_train = old.valid_from_train;
  plan.source = old.source;
  plan.creator = old.creator;
  std::array<std::unique_ptr<Rows>, 3> rows;
  for (const Split split : kSplits) {
    plan.samples.at(index_of(split)) = dataset.size(split);
    if (dataset.size(split) > 0) rows.at(index_of(split)) = std::make_unique<Rows>(dataset, split);
  }
  Manifest made = write_dataset(files, clock, staging, plan, [&](const RowBlock& block) {
    rows.at(index_of(block.split))->fill(block);
  });
  const bool unpacks_files =
      old.packing.storage == Storage::kEncoded && packing.storage != Storage::kEncoded;
  ATELIER_CHECK(unpacks_files || content_id(made) == dataset.id(),
                "a dataset in other shards has the same id");
  staging.publish();
  return made;
}

}  // namespace atelier::data
