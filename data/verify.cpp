#include "data/verify.h"

#include <algorithm>
#include <array>
#include <set>

#include "data/dataset.h"
#include "data/manifest.h"
#include "data/order.h"
#include "data/raw_file.h"
#include "data/reader.h"
#include "data/shard_check.h"
#include "data/shard_layout.h"
#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

class Verification {
 public:
  Verification(FileSystem& files, const Path& folder, const Manifest& manifest,
               VerifyReport& report)
      : files_(files), folder_(folder), manifest_(manifest), report_(report) {
    for (std::size_t split = 0; split < kSplits.size(); ++split) content_.emplace_back(manifest);
  }

  void shard(const ShardEntry& entry) {
    const Path file = folder_ / entry.file;
    const std::size_t before = report_.findings.size();
    try {
      if (!files_.exists(file)) {
        add(text("The shard '", file.string(), "' is missing."));
      } else if (const std::uint64_t bytes = files_.size(file); bytes != entry.bytes) {
        add(text("The shard '", file.string(), "' has ", bytes, " bytes, expected ", entry.bytes,
                 "."));
      } else {
        check_bytes(file, entry);
      }
    } catch (const Error& error) {
      add(error.what());
    }
    if (report_.findings.size() != before) whole_.at(index_of(entry.split)) = false;
    ++report_.shards;
  }

  void content() {
    for (const Split split : kSplits) {
      const SplitEntry& entry = manifest_.splits.at(index_of(split));
      for (std::size_t i = 0; whole_.at(index_of(split)) && i < manifest_.tables.size(); ++i) {
        if (content_.at(index_of(split)).hash(i) != entry.table_hashes[i]) {
          add(text("The shards of ", split_name(split), " do not hold the /",
                   manifest_.tables[i].name, " that the manifest names."));
        }
      }
    }
  }

  void strangers() {
    std::set<std::string> known;
    for (const ShardEntry& entry : manifest_.shards) known.insert(entry.file);
    for (const std::string& name : files_.list(folder_)) {
      if (name.ends_with(".h5") && !known.contains(name))
        add(text("'", (folder_ / name).string(), "' is no shard of this dataset."));
    }
  }

 private:
  void add(std::string finding) { report_.findings.push_back(std::move(finding)); }

  void check_bytes(const Path& file, const ShardEntry& entry) {
    const ShardDamage damage =
        check_shard_bytes(file, manifest_, entry, [&](const WholeBlock& block) {
          try {
            content_.at(index_of(entry.split)).add(block);
          } catch (const DataError& error) {  // it was written so
            add(text("Images of '", file.string(), "' cannot be unpacked: ", error.what()));
          }
        });
    report_.blocks += damage.blocks;
    report_.bytes += damage.bytes;
    report_.findings.insert(report_.findings.end(), damage.findings.begin(), damage.findings.end());
    if (damage.file_hash != entry.hash) {
      if (damage.findings.empty()) {
        add(text("Bytes outside the tables of '", file.string(),
                 "' (HDF5 structures or padding) are damaged: the file's hash is ",
                 damage.file_hash, ", expected ", entry.hash, "."));
      }
      return;  // HDF5 is not asked about a file known to be damaged
    }
    if (inspect_shard(file, layout_of(manifest_, entry)) != entry.places) {
      add(text("The shard '", file.string(),
               "' keeps its tables at other offsets than the manifest says."));
    }
  }

  FileSystem& files_;
  const Path& folder_;
  const Manifest& manifest_;
  VerifyReport& report_;
  std::vector<ContentHashes> content_;  // by split
  std::array<bool, 3> whole_{true, true, true};
};

}  // namespace

VerifyReport verify(FileSystem& files, const Path& folder,
                    const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  const Path file = folder / kManifestName;
  if (!files.exists(file)) {
    throw DataError(text("'", folder.string(), "' is no dataset: it holds no manifest.json."),
                    "Name the folder that 'atelier data make' or 'data import' wrote.");
  }
  VerifyReport report;
  Manifest manifest;
  try {
    manifest = parse_manifest(files.read(file), file);
  } catch (const DataError& error) {
    report.findings.emplace_back(error.what());
    return report;
  }
  report.dataset_id = content_id(manifest);
  std::uint64_t total = 0;
  std::uint64_t done = 0;
  for (const ShardEntry& entry : manifest.shards) total += entry.bytes;
  Verification verification(files, folder, manifest, report);
  for (const ShardEntry& entry : manifest.shards) {
    verification.shard(entry);
    done += entry.bytes;
    if (progress) progress(done, total);
  }
  verification.content();
  verification.strangers();
  return report;
}

VerifyReport verify_sample(FileSystem& files, const Path& folder, std::uint64_t blocks,
                           std::uint64_t seed) {
  const Dataset dataset = Dataset::open(files, folder);
  VerifyReport report;
  report.dataset_id = dataset.id();
  report.shards = dataset.manifest().shards.size();
  std::uint64_t images = 0;
  for (const Split split : kSplits) images += dataset.size(split);
  for (const Split split : kSplits) {
    if (dataset.size(split) == 0) continue;
    Reader reader(dataset, split);
    const std::uint64_t share = (blocks * dataset.size(split) + images - 1) / images;
    const std::uint64_t wanted = std::min(share, reader.blocks());
    const Order order(dataset.id_hash(), seed, reader.size());
    std::set<std::uint64_t> seen;
    for (std::uint64_t i = 0; i < reader.size() && seen.size() < wanted; ++i) {
      const std::uint64_t index = order(0, i);
      if (!seen.insert(reader.block_of(index)).second) continue;
      if (auto damage = reader.damage_of(index)) report.findings.push_back(std::move(*damage));
    }
    report.blocks += seen.size();
    report.bytes += reader.bytes_read();
  }
  return report;
}

}  // namespace atelier::data
