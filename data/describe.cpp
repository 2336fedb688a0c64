#include "data/describe.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "launch/base/text.h"

namespace atelier::data {
namespace {

std::uint64_t total_bytes(const Dataset& dataset) {
  std::uint64_t bytes = 0;
  for (const ShardEntry& shard : dataset.manifest().shards) bytes += shard.bytes;
  return bytes;
}

std::string rounded(const std::vector<double>& values) {
  std::vector<std::string> out;
  out.reserve(values.size());
  for (const double value : values) out.push_back(fixed(value, 2));
  return join(out);
}

// How many images of each class; nothing for one class or a page full of them.
std::string class_table(const Manifest& manifest) {
  constexpr std::size_t kMost = 30;
  if (manifest.class_names.size() < 2 || manifest.class_names.size() > kMost) return "";
  std::size_t width = 5;
  for (const std::string& name : manifest.class_names) width = std::max(width, name.size());
  std::string out;
  for (std::size_t i = 0; i < manifest.class_names.size(); ++i) {
    const std::string& name = manifest.class_names[i];
    out += text("  ", name, std::string(width - name.size(), ' '));
    for (const Split split : kSplits) {
      const auto count = manifest.splits.at(index_of(split)).class_counts.at(i);
      const std::string words = human_count(static_cast<std::int64_t>(count));
      out += text(std::string(words.size() < 9 ? 9 - words.size() : 1, ' '), words);
    }
    out += "\n";
  }
  return out;
}

std::string class_line(const Dataset& dataset) {
  constexpr std::size_t kShown = 12;
  std::vector<std::string> names = dataset.class_names();
  const std::size_t count = names.size();
  names.resize(std::min(count, kShown));
  return text(count, " (", join(names), count > kShown ? ", …" : "", ")");
}

// ", images deflated to 12 % of their pixels"; nothing where they are raw.
std::string storage_words(const Dataset& dataset) {
  const Packing& packing = dataset.manifest().packing;
  if (!packing.varies()) return "";
  double stored = 0, pixels = 1e-9;
  for (const ShardEntry& shard : dataset.manifest().shards) {
    stored += static_cast<double>(shard.image_bytes);
    pixels += static_cast<double>(shard.num_samples * dataset.shape().bytes());
  }
  const std::string share = fixed(100 * stored / pixels, 1) + " % of their pixels";
  if (packing.storage == Storage::kDeflate) return ", images deflated to " + share;
  return text(", images as their files (", share, "), brought to size by ", fit_name(packing),
              " and ", filter_name(packing));
}

}  // namespace

std::string describe(const Dataset& dataset) {
  const Manifest& manifest = dataset.manifest();
  std::string out = text("dataset  ", dataset.folder().string(), "\n",  //
                         "id       ", dataset.id(), "\n",               //
                         "images   ", manifest.shape.width, " x ", manifest.shape.height, ", ",
                         manifest.shape.channels == 1 ? "grey" : "colour", "\n");
  for (const Split split : kSplits) {
    const std::uint64_t samples = dataset.size(split);
    const bool cut = split == Split::kValid && manifest.valid_from_train && samples > 0;
    out +=
        text(split_name(split), std::string(9 - split_name(split).size(), ' '),
             human_count(static_cast<std::int64_t>(samples)), cut ? " (cut from train)" : "", "\n");
  }
  out += text("classes  ", class_line(dataset), "\n",      //
              class_table(manifest),                       //
              "mean     ", rounded(dataset.mean()), "\n",  //
              "stddev   ", rounded(dataset.stddev()),
              "\n"  //
              "shards   ",
              manifest.shards.size(), ", ", human_bytes(total_bytes(dataset)),
              storage_words(dataset), "\n",        //
              "source   ", manifest.source, "\n",  //
              "made     ", manifest.created, " by ", manifest.creator, " on ", manifest.host, "\n");
  return out;
}

nlohmann::ordered_json describe_json(const Dataset& dataset) {
  const Manifest& manifest = dataset.manifest();
  nlohmann::ordered_json splits;
  for (const Split split : kSplits) {
    nlohmann::ordered_json counts = nlohmann::ordered_json::object();
    for (std::size_t i = 0; i < manifest.class_names.size(); ++i)
      counts[manifest.class_names[i]] = manifest.splits.at(index_of(split)).class_counts[i];
    splits[std::string(split_name(split))] = {{"num_samples", dataset.size(split)},
                                              {"class_counts", counts}};
  }
  return {{"folder", dataset.folder().string()},
          {"dataset_id", dataset.id()},
          {"image",
           {{"height", manifest.shape.height},
            {"width", manifest.shape.width},
            {"channels", manifest.shape.channels}}},
          {"storage", storage_name(manifest.packing.storage)},
          {"class_names", manifest.class_names},
          {"factor_names", manifest.factor_names},
          {"splits", splits},
          {"valid_from_train", manifest.valid_from_train},
          {"mean", dataset.mean()},
          {"stddev", dataset.stddev()},
          {"shards", manifest.shards.size()},
          {"bytes", total_bytes(dataset)},
          {"source", manifest.source},
          {"created", manifest.created},
          {"creator", manifest.creator},
          {"host", manifest.host}};
}

}  // namespace atelier::data
