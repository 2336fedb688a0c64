#include "data/dataset.h"

#include <cmath>
#include <optional>
#include <utility>

#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

Manifest read_manifest(FileSystem& files, const Path& folder) {
  const Path file = folder / kManifestName;
  constexpr std::uint64_t kLargest = 256U << 20U;
  if (!files.exists(folder)) {
    throw DataError(text("There is no dataset '", folder.string(), "'."),
                    "Check the path, or make one with 'atelier data make' or 'data import'.");
  }
  if (!files.exists(file)) {
    throw DataError(text("'", folder.string(), "' is no dataset: it holds no manifest.json."),
                    "Name the folder that 'atelier data make' or 'data import' wrote.");
  }
  if (files.size(file) > kLargest)
    throw DataError(text("'", file.string(), "' is larger than any manifest."));
  return parse_manifest(files.read(file), file);
}

void check_sizes(FileSystem& files, const Path& folder, const Manifest& manifest) {
  for (const ShardEntry& shard : manifest.shards) {
    const Path file = folder / shard.file;
    if (!files.exists(file)) {
      throw DataError(text("The shard '", file.string(), "' is missing."),
                      "Restore it, or make or import the dataset again.");
    }
    const std::uint64_t bytes = files.size(file);
    if (bytes != shard.bytes) {
      throw DataError(text("The shard '", file.string(), "' has ", bytes, " bytes, expected ",
                           shard.bytes, "."),
                      "It was truncated or replaced; restore it or make the dataset again.");
    }
  }
}

}  // namespace

Dataset::Dataset(Path folder, Manifest manifest)
    : folder_(std::move(folder)), manifest_(std::move(manifest)), id_(content_id(manifest_)) {}

Dataset Dataset::open(FileSystem& files, const Path& folder) {
  Manifest manifest = read_manifest(files, folder);
  check_sizes(files, folder, manifest);
  return {folder, std::move(manifest)};
}

std::uint64_t Dataset::size(Split split) const {
  return manifest_.splits.at(index_of(split)).num_samples;
}

std::uint64_t Dataset::id_hash() const {
  const std::optional<std::uint64_t> hash = from_hex(id_);
  if (!hash) fail_check("id", "the id of a dataset is a hash");
  return *hash;
}

std::vector<double> Dataset::mean() const {
  const double pixels =
      static_cast<double>(size(Split::kTrain)) * manifest_.shape.height * manifest_.shape.width;
  std::vector<double> out;
  out.reserve(manifest_.pixel_sums.size());
  for (const std::uint64_t sum : manifest_.pixel_sums)
    out.push_back(static_cast<double>(sum) / pixels);
  return out;
}

std::vector<double> Dataset::stddev() const {
  const double pixels =
      static_cast<double>(size(Split::kTrain)) * manifest_.shape.height * manifest_.shape.width;
  std::vector<double> out = mean();
  for (std::size_t c = 0; c < out.size(); ++c) {
    const double square = static_cast<double>(manifest_.pixel_square_sums[c]) / pixels;
    out[c] = std::sqrt(std::max(0.0, square - out[c] * out[c]));
  }
  return out;
}

}  // namespace atelier::data
