#include "data/import/import.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "data/dataset_writer.h"
#include "data/import/class_folders.h"
#include "data/import/decoding.h"
#include "data/import/scratch.h"
#include "data/import/written_rows.h"
#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

namespace fs = std::filesystem;
using Problems = std::map<std::uint64_t, std::string>;

void check(const ImportOptions& options) {
  const auto side = [](int n) { return n >= 1 && n <= kMaxImageSide; };
  if (options.size && (!side(options.size->height) || !side(options.size->width))) {
    throw ConfigError(
        text("Cannot import images at ", options.size->width, " x ", options.size->height, "."),
        "Sides of 1 to 16384 pixels are possible.");
  }
  if (options.channels && *options.channels != 1 && *options.channels != 3) {
    throw ConfigError(text("Cannot import images with ", *options.channels, " channels."),
                      "1 and 3 are possible.");
  }
  if (options.mirror && options.packing.storage == Storage::kEncoded) {
    throw ConfigError("Cannot import mirror images of files that are stored as they are.",
                      "Training mirrors images by itself; or choose --storage raw.");
  }
  if (options.shares) {
    const auto [valid, test] = *options.shares;
    if (valid < 0 || test < 0 || valid + test > 99) {
      throw ConfigError(text("Cannot split images into ", 100 - valid - test, " % train, ", valid,
                             " % valid and ", test, " % test."),
                        "Train needs 1 % at least.");
    }
  }
}

/// Steps that end alike in every process: the first error of any is thrown in all.
class Together {
 public:
  explicit Together(Crew& crew) : crew_(crew) {}

  /// What `work` returns, by rank.
  std::vector<std::string> all(const std::function<std::string()>& work) {
    std::exception_ptr own;
    std::string said = "0 ";
    try {
      said += work();
    } catch (const Error& error) {
      own = std::current_exception();
      said = text(static_cast<int>(error.exit_code()), " ", error.what());
    }
    std::vector<std::string> texts = crew_.exchange(said);
    for (std::size_t rank = 0; rank < texts.size(); ++rank) {
      const int code = std::atoi(texts[rank].c_str());
      texts[rank].erase(0, texts[rank].find(' ') + 1);
      if (code == 0) continue;
      if (own && rank == static_cast<std::size_t>(crew_.rank())) std::rethrow_exception(own);
      throw Error(static_cast<ExitCode>(code), texts[rank], "");
    }
    return texts;
  }
  /// The first process does it; its result everywhere.
  std::string first(const std::function<std::string()>& work) {
    return all([&] { return crew_.rank() == 0 ? work() : ""; }).front();
  }

 private:
  Crew& crew_;
};

// What the bytes of the result depend on, and whether the source has changed.
std::string purpose_of(const ImportOptions& options, const Listing& listing) {
  Hasher items;
  for (const SourceItem& item : listing.items) {
    items.update(std::as_bytes(std::span(item.name)));
    const std::string rest = text("|", split_name(item.split), "|", item.label, "\n");
    items.update(std::as_bytes(std::span(rest)));
  }
  std::error_code code;
  const fs::path source = fs::absolute(options.source, code).lexically_normal();
  const bool is_file = fs::is_regular_file(source, code);
  const auto bytes = is_file ? fs::file_size(source, code) : 0;
  const auto changed = is_file ? fs::last_write_time(source, code).time_since_epoch().count() : 0;
  const auto size = options.size.value_or(ImageSize{});
  const auto shares = options.shares.value_or(SplitShares{.valid = -1, .test = -1});
  return text("import 2\n", source.string(), "\n", bytes, " ", changed, " ", to_hex(items.value()),
              "\n", size.height, " ", size.width, " ", storage_name(options.packing.storage), " ",
              fit_name(options.packing), " ", filter_name(options.packing), " ",
              options.channels.value_or(0), " ", shares.valid, " ", shares.test, " ", options.limit,
              " ", options.mirror, " ", static_cast<int>(options.on_error), " ", options.shuffle,
              " ", options.shuffle_seed, " ", options.names, " ", options.shard_bytes, "\n");
}

void require_room(FileSystem& files, const Path& folder, std::uint64_t images,
                  std::uint64_t needed) {
  const std::uint64_t free = files.free_bytes(folder);
  if (free >= needed) return;
  throw OutputError(
      text("Cannot import ", images, " images to '", folder.parent_path().string(),
           "': that takes ", human_bytes(needed), ", and ", human_bytes(free), " are free."),
      "Free some space, or choose another folder with --out.");
}

std::string encode(const Problems& problems) {
  nlohmann::json pairs = nlohmann::json::array();
  for (const auto& [id, reason] : problems) pairs.push_back({id, clean_text(reason)});
  return pairs.dump();
}

// Those of all processes.
Problems decode(const std::vector<std::string>& texts) {
  Problems problems;
  for (const std::string& words : texts) {
    for (const auto& pair : nlohmann::json::parse(words))
      problems.emplace(pair[0].get<std::uint64_t>(), pair[1].get<std::string>());
  }
  return problems;
}

class Import {
 public:
  Import(FileSystem& files, const Clock& clock, const ImportOptions& options, Crew& crew)
      : files_(files), clock_(clock), options_(options), crew_(crew), together_(crew) {}

  ImportReport run() {
    together_.all([&] { return list(); });
    const Path folder = together_.first([&] { return stage(); });
    const std::size_t kept =
        std::stoul(together_.first([&] { return std::to_string(Scratch::count(files_, folder)); }));
    Scratch scratch(files_, folder, kept + static_cast<std::size_t>(crew_.rank()));
    const Problems problems =
        decode(together_.all([&] { return encode(decode_share(scratch, kept)); }));
    judge(problems);
    together_.all([&] {
      scratch.open_all(kept + static_cast<std::size_t>(crew_.world()), listing_.items.size(), kept);
      return "";
    });
    write(folder, scratch);
    for (const SplitEntry& split : report_.manifest.splits) report_.imported += split.num_samples;
    std::sort(report_.skipped.begin(), report_.skipped.end(),
              [](const SkippedFile& a, const SkippedFile& b) { return a.name < b.name; });
    return std::move(report_);
  }

 private:
  std::string list() {
    check(options_);
    if (files_.exists(options_.out)) {
      throw OutputError(text("Cannot create the dataset '", options_.out.string(), "': it exists."),
                        "Choose another name, or remove it first.");
    }
    source_ = open_source(options_.source, options_.arrays);
    listing_ = source_->list(options_.on_error);
    wanted_ = drawn(listing_, options_);
    report_.hidden = listing_.hidden;
    report_.notes = listing_.notes;
    report_.skipped = listing_.skipped;
    for (const SourceItem& item : listing_.items) {
      if (!item.problem.empty()) report_.skipped.push_back({clean_text(item.name), item.problem});
    }
    const CommonSize common = size_of_images(options_, *source_, wanted_);
    size_ = common.size;
    if (!listing_.items.empty()) first_ = clean_text(listing_.items[common.id].name);
    return "";
  }

  std::string stage() {
    staging_.emplace(files_, options_.out, purpose_of(options_, listing_));
    const auto images =
        static_cast<std::uint64_t>(std::count(wanted_.begin(), wanted_.end(), true));
    require_room(files_, staging_->path(), images, needed_bytes(images));
    return staging_->path().string();
  }

  // Scratch rows, and shards that may be as large. Of image files only those in an archive are
  // counted, as it is one.
  [[nodiscard]] std::uint64_t needed_bytes(std::uint64_t images) const {
    if (options_.packing.storage != Storage::kEncoded)
      return 2 * images * ImageShape{size_.height, size_.width, kScratchChannels}.bytes();
    std::error_code code;
    const auto bytes = fs::file_size(options_.source, code);
    return code ? 0 : 2 * bytes * images / std::max<std::size_t>(1, listing_.items.size());
  }

  // What a killed import has left is not done again.
  Problems decode_share(Scratch& scratch, std::size_t kept_files) {
    scratch.open_all(kept_files, listing_.items.size(), kept_files);
    std::vector<bool> mine(wanted_.size());
    const auto world = static_cast<std::size_t>(crew_.world());
    std::size_t turn = 0;
    for (std::size_t id = 0; id < wanted_.size(); ++id) {
      const bool kept = wanted_[id] && scratch.channels(id) != 0;
      report_.kept += kept ? 1 : 0;
      if (!wanted_[id] || kept) continue;
      mine[id] = turn++ % world == static_cast<std::size_t>(crew_.rank());
    }
    Decoding decoding(options_, size_, first_, scratch);
    decoding.run(*source_, mine);
    scratch.flush();
    return decoding.problems();
  }

  void judge(const Problems& problems) {
    if (options_.on_error == OnError::kFail && !problems.empty()) {
      throw DataError(
          text("Cannot import '", clean_text(listing_.items[problems.begin()->first].name),
               "': ", problems.begin()->second, "."),
          "Repair or remove it, or skip bad files with --on-error skip.");
    }
    std::size_t of_other_size = 0;
    for (const auto& [id, reason] : problems) {
      report_.skipped.push_back({clean_text(listing_.items[id].name), reason});
      of_other_size += reason.starts_with(kOtherSize) ? 1 : 0;
    }
    const auto images = std::count(wanted_.begin(), wanted_.end(), true);
    if (of_other_size * 2 > static_cast<std::size_t>(images)) {
      throw DataError(text("Most images of '", options_.source.string(), "' (", of_other_size,
                           " of ", images, ") differ in size from the first."),
                      "Give the size to import with --size WIDTHxHEIGHT.");
    }
  }

  // Each process writes every so-many-th shard; the first one reads all back.
  void write(const Path& folder, const Scratch& scratch) {
    const WrittenRows rows(listing_, options_, size_, scratch);
    DatasetWriter writer(files_, folder, rows.plan());
    const auto world = static_cast<std::size_t>(crew_.world());
    std::uint64_t total = 0;
    for (const std::uint64_t samples : rows.plan().samples) total += samples / world;
    std::uint64_t done = 0;
    const auto fill = [&](const RowBlock& block) {
      rows.fill(block);
      done += block.count;
      if (options_.progress) options_.progress({"write", std::min(done, total), total});
    };
    together_.all([&] {
      for (std::size_t shard = 0; shard < writer.shards(); ++shard) {
        if (shard % world == static_cast<std::size_t>(crew_.rank())) writer.write(shard, fill);
        if (world == 1) writer.seal(shard);  // while it is in the cache
      }
      return "";
    });
    const std::string manifest = together_.first([&] {
      for (std::size_t shard = 0; world > 1 && shard < writer.shards(); ++shard) writer.seal(shard);
      report_.manifest = writer.finish(clock_);
      Scratch::remove(files_, folder);
      staging_->publish();
      return to_json(report_.manifest);
    });
    if (crew_.rank() > 0) report_.manifest = parse_manifest(manifest, options_.out);
  }

  FileSystem& files_;
  const Clock& clock_;
  const ImportOptions& options_;
  Crew& crew_;
  Together together_;
  std::unique_ptr<ImageSource> source_;
  Listing listing_;
  std::vector<bool> wanted_;
  ImageSize size_;
  std::string first_;                     ///< image that has that size
  std::optional<StagingFolder> staging_;  ///< of the first process
  ImportReport report_;
};

}  // namespace

ImportReport import_images(FileSystem& files, const Clock& clock, const ImportOptions& options,
                           Crew& crew) {
  return Import(files, clock, options, crew).run();
}

ImportReport import_images(FileSystem& files, const Clock& clock, const ImportOptions& options) {
  Crew alone;
  return import_images(files, clock, options, alone);
}

}  // namespace atelier::data
