#include "data/import.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <numeric>
#include <set>
#include <utility>

#include "data/class_folders.h"
#include "data/dataset_writer.h"
#include "data/decode_pool.h"
#include "data/image_codec.h"
#include "data/image_source.h"
#include "data/order.h"
#include "data/raw_file.h"
#include "data/resize.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::size_t kLeastHeldOut = 2;  // indicators compare pairs of images
constexpr std::size_t kMaxNameBytes = 255;
constexpr int kSpoolChannels = 3;

/// One image file of the source. Its id is its rank among all image files by name.
struct Candidate {
  std::string name;
  Split split = Split::kTrain;
  std::int64_t label = 0;
  std::size_t position = 0;  ///< in the stream of the source
  int channels = 0;          ///< of the decoded file; 0: not decoded
};

/// The list of what to import: names looked at, splits and classes found.
struct Catalogue {
  std::vector<Candidate> images;   ///< index = id
  std::vector<std::size_t> id_at;  ///< stream position → id
  std::vector<bool> wanted;        ///< by stream position
  std::vector<std::string> class_names;
  bool has_valid = false;
};

void list_images(const std::vector<std::string>& names, const ImportOptions& options,
                 Catalogue& catalogue, ImportReport& report) {
  std::set<std::string> seen;
  for (std::size_t position = 0; position < names.size(); ++position) {
    const std::string& name = names[position];
    switch (kind_of_name(name)) {
      case NameKind::kHidden:
        ++report.hidden;
        break;
      case NameKind::kOther:
        report.skipped.push_back({clean_text(name), "it is no image file"});
        break;
      case NameKind::kOtherImage:
        if (options.on_error == OnError::kFail) {
          throw DataError(
              text("Cannot import '", clean_text(name), "': only JPEG and PNG are read."),
              "Convert it, or skip such files with --on-error skip.");
        }
        report.skipped.push_back({clean_text(name), "only JPEG and PNG are read"});
        break;
      case NameKind::kImage:
        if (seen.insert(name).second) {
          catalogue.images.push_back({.name = name, .position = position});
        } else {
          report.skipped.push_back({clean_text(name), "the name is there twice"});
        }
        break;
    }
  }
  if (catalogue.images.empty()) {
    throw DataError(text("There is no JPEG or PNG file in '", options.source.string(), "'."),
                    "Check the path; classes are folders with images in them.");
  }
  std::sort(catalogue.images.begin(), catalogue.images.end(),
            [](const Candidate& a, const Candidate& b) { return a.name < b.name; });
}

void place_images(std::size_t files, Catalogue& catalogue, ImportReport& report) {
  std::vector<std::string> names;
  names.reserve(catalogue.images.size());
  for (const Candidate& image : catalogue.images) names.push_back(image.name);
  const std::vector<PlacedName> placed = place_names(names);
  std::map<std::string, std::int64_t> labels;
  for (const PlacedName& place : placed)
    if (place.problem.empty()) labels[place.class_name] = 0;
  for (auto& [name, label] : labels) {
    label = static_cast<std::int64_t>(catalogue.class_names.size());
    catalogue.class_names.push_back(name);
  }
  catalogue.wanted.assign(files, false);
  catalogue.id_at.assign(files, 0);
  for (std::size_t id = 0; id < placed.size(); ++id) {
    Candidate& image = catalogue.images[id];
    if (!placed[id].problem.empty()) {
      report.skipped.push_back({clean_text(image.name), placed[id].problem});
      continue;
    }
    image.split = placed[id].split;
    image.label = labels.at(placed[id].class_name);
    catalogue.wanted[image.position] = true;
    catalogue.id_at[image.position] = id;
    catalogue.has_valid = catalogue.has_valid || image.split == Split::kValid;
  }
}

/// Decodes every wanted file into its row of a scratch file (always RGB).
class Decoding {
 public:
  Decoding(const ImportOptions& options, Catalogue& catalogue, const Path& scratch)
      : options_(options),
        catalogue_(catalogue),
        scratch_(scratch, RawFile::Mode::kScratch),
        total_(static_cast<std::uint64_t>(
            std::count(catalogue.wanted.begin(), catalogue.wanted.end(), true))) {
    if (options.size) size_ = *options.size;
  }

  void run(ImageSource& source) {
    DecodePool pool(
        std::max(1, options_.threads),
        [this](std::size_t position, const SourceFile& file) { decode(position, file); });
    constexpr std::uint64_t kReportEvery = 256;
    std::uint64_t met = 0;
    source.stream(catalogue_.wanted, [&](std::size_t position, SourceFile file) {
      // The first image that decodes sets the size, so it is not left to the threads.
      if (size_.height == 0) {
        decode(position, file);
      } else {
        pool.add(position, std::move(file));
      }
      if (options_.progress && ++met % kReportEvery == 0)
        options_.progress({"decode", met, total_});
      return !failed_.load(std::memory_order_relaxed);
    });
    pool.finish();
    if (options_.progress) options_.progress({"decode", total_, total_});
    if (options_.on_error == OnError::kFail && !problems_.empty()) {
      const std::size_t id = catalogue_.id_at[problems_.begin()->first];
      throw DataError(text("Cannot import '", clean_text(catalogue_.images[id].name),
                           "': ", problems_.begin()->second, "."),
                      "Repair or remove it, or skip bad files with --on-error skip.");
    }
  }

  void report(ImportReport& out) const {
    std::size_t of_other_size = 0;
    for (const auto& [position, reason] : problems_) {
      const Candidate& image = catalogue_.images[catalogue_.id_at[position]];
      out.skipped.push_back({clean_text(image.name), reason});
      of_other_size += reason.starts_with(kOtherSize) ? 1 : 0;
    }
    if (of_other_size * 2 > total_) {
      throw DataError(text("Most images of '", options_.source.string(), "' (", of_other_size,
                           " of ", total_, ") differ in size from the first."),
                      "Give the size to import with --size HEIGHTxWIDTH.");
    }
  }

  [[nodiscard]] ImageSize size() const { return size_; }

  void read(std::uint64_t id, std::vector<std::uint8_t>& rgb) const {
    rgb.resize(row_bytes());
    scratch_.read_at(id * row_bytes(), std::as_writable_bytes(std::span(rgb)));
  }

 private:
  static constexpr std::string_view kOtherSize = "it has ";

  [[nodiscard]] std::size_t row_bytes() const {
    return ImageShape{size_.height, size_.width, kSpoolChannels}.bytes();
  }

  void decode(std::size_t position, const SourceFile& file) {
    const std::size_t id = catalogue_.id_at[position];
    std::string problem = file.problem;
    try {
      if (problem.empty()) problem = store(id, decode_image(file.content, clean_text(file.name)));
    } catch (const DataError& error) {
      problem = error.what();
      // "Cannot decode the image 'name': why." → why
      const std::size_t why = problem.find("': ");
      if (why != std::string::npos) problem = problem.substr(why + 3);
      if (problem.ends_with('.')) problem.pop_back();
    }
    if (problem.empty()) return;
    const std::scoped_lock lock(mutex_);
    problems_[position] = problem;
    failed_ = options_.on_error == OnError::kFail;
  }

  // Returns what is wrong, or nothing.
  std::string store(std::size_t id, Image image) {
    const int channels = image.shape.channels;
    if (size_.height == 0) size_ = {image.shape.height, image.shape.width};
    if (options_.size) {
      image = crop_and_resize(image, size_.height, size_.width);
    } else if (image.shape.height != size_.height || image.shape.width != size_.width) {
      return text(kOtherSize, image.shape.width, " x ", image.shape.height, " pixels, others have ",
                  size_.width, " x ", size_.height, "; --size HEIGHTxWIDTH brings all to one size");
    }
    image = with_channels(std::move(image), kSpoolChannels);
    scratch_.write_at(id * row_bytes(), std::as_bytes(std::span(image.pixels)));
    catalogue_.images[id].channels = channels;
    return {};
  }

  const ImportOptions& options_;
  Catalogue& catalogue_;
  RawFile scratch_;
  std::uint64_t total_;
  ImageSize size_;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;
  std::map<std::size_t, std::string> problems_;  ///< by stream position
};

void move_last(std::vector<std::uint64_t>& from, std::vector<std::uint64_t>& to) {
  to.push_back(from.back());
  from.pop_back();
}

/// Ids of each split in the order they are written.
std::array<std::vector<std::uint64_t>, 3> split_ids(const Catalogue& catalogue,
                                                    const ImportOptions& options) {
  std::array<std::vector<std::uint64_t>, 3> ids;
  for (std::uint64_t id = 0; id < catalogue.images.size(); ++id) {
    const Candidate& image = catalogue.images[id];
    if (image.channels == 0) continue;
    const bool hold = !catalogue.has_valid && image.split == Split::kTrain && held_out(id);
    ids.at(index_of(hold ? Split::kValid : image.split)).push_back(id);
  }
  auto& train = ids.at(index_of(Split::kTrain));
  auto& valid = ids.at(index_of(Split::kValid));
  if (!catalogue.has_valid) {  // of a handful of images the hash may choose too few or all
    while (valid.size() < kLeastHeldOut && train.size() > 1) move_last(train, valid);
    while (train.empty() && !valid.empty()) move_last(valid, train);
  }
  if (!options.shuffle) return ids;
  for (std::size_t split = 0; split < ids.size(); ++split) {
    const std::vector<std::uint64_t> sorted = ids.at(split);
    if (sorted.empty()) continue;
    const Order order(0, options.shuffle_seed, sorted.size(), split);
    for (std::uint64_t i = 0; i < sorted.size(); ++i) ids.at(split)[i] = sorted[order(0, i)];
  }
  return ids;
}

int chosen_channels(const Catalogue& catalogue, const ImportOptions& options) {
  if (options.channels) return *options.channels;
  std::int64_t balance = 0;
  for (const Candidate& image : catalogue.images)
    if (image.channels != 0) balance += image.channels == 1 ? 1 : -1;
  return balance > 0 ? 1 : kSpoolChannels;
}

// The end of a name says more than its beginning.
std::string short_name(const std::string& name) {
  std::string clean = clean_text(name);
  if (clean.size() <= kMaxNameBytes) return clean;
  std::size_t from = clean.size() - kMaxNameBytes;
  while ((static_cast<unsigned char>(clean[from]) & 0xC0U) == 0x80) ++from;
  return clean.substr(from);
}

std::vector<Table> name_table(const Catalogue& catalogue, const ImportOptions& options) {
  if (!options.names) return {};
  std::size_t longest = 1;
  for (const Candidate& image : catalogue.images)
    if (image.channels != 0) longest = std::max(longest, short_name(image.name).size());
  return {{"names", Element::kText, {longest}}};
}

/// The rows of the dataset, made from the decoded images as its writer asks for them.
class Rows {
 public:
  Rows(const Catalogue& catalogue, const ImportOptions& options, const Decoding& decoding)
      : catalogue_(catalogue),
        options_(options),
        decoding_(decoding),
        ids_(split_ids(catalogue, options)) {
    plan_.shape = {decoding.size().height, decoding.size().width,
                   chosen_channels(catalogue, options)};
    plan_.class_names = catalogue.class_names;
    plan_.extra_tables = name_table(catalogue, options);
    for (std::size_t i = 0; i < ids_.size(); ++i) plan_.samples.at(i) = ids_.at(i).size();
    plan_.shard_bytes = options.shard_bytes;
    plan_.valid_from_train = !catalogue.has_valid;
    plan_.source = clean_text(options.source.filename().string());
    total_ = std::accumulate(plan_.samples.begin(), plan_.samples.end(), std::uint64_t{0});
  }

  [[nodiscard]] const DatasetPlan& plan() const { return plan_; }

  void fill(const RowBlock& block) {
    for (std::uint64_t i = 0; i < block.count; ++i) {
      fill_row(block, i, ids_.at(index_of(block.split)).at(block.first + i));
    }
    done_ += block.count;
    if (options_.progress) options_.progress({"write", done_, total_});
  }

 private:
  void fill_row(const RowBlock& block, std::uint64_t row, std::uint64_t id) {
    const Candidate& image = catalogue_.images[id];
    decoding_.read(id, rgb_);
    const Image pixels =
        with_channels({{plan_.shape.height, plan_.shape.width, kSpoolChannels}, std::move(rgb_)},
                      plan_.shape.channels);
    const std::size_t bytes = plan_.shape.bytes();
    std::memcpy(&block.tables[kImages][row * bytes], pixels.pixels.data(), bytes);
    std::memcpy(&block.tables[kLabels][row * sizeof(image.label)], &image.label,
                sizeof(image.label));
    std::memcpy(&block.tables[kIds][row * sizeof(id)], &id, sizeof(id));
    if (!options_.names) return;
    const std::string name = short_name(image.name);
    const std::size_t room = plan_.extra_tables[0].row_bytes();
    std::memset(&block.tables[kIds + 1][row * room], 0, room);
    std::memcpy(&block.tables[kIds + 1][row * room], name.data(), name.size());
  }

  const Catalogue& catalogue_;
  const ImportOptions& options_;
  const Decoding& decoding_;
  std::array<std::vector<std::uint64_t>, 3> ids_;
  DatasetPlan plan_;
  std::uint64_t total_ = 0;
  std::uint64_t done_ = 0;
  std::vector<std::uint8_t> rgb_;
};

void check(const ImportOptions& options) {
  const auto side = [](int n) { return n >= 1 && n <= kMaxImageSide; };
  if (options.size && (!side(options.size->height) || !side(options.size->width))) {
    throw ConfigError(
        text("Cannot import images at ", options.size->height, " x ", options.size->width, "."),
        "Sides of 1 to 16384 pixels are possible.");
  }
  if (options.channels && *options.channels != 1 && *options.channels != 3) {
    throw ConfigError(text("Cannot import images with ", *options.channels, " channels."),
                      "1 and 3 are possible.");
  }
}

}  // namespace

ImportReport import_images(FileSystem& files, const Clock& clock, const ImportOptions& options) {
  check(options);
  StagingFolder staging(files, options.out);
  const std::unique_ptr<ImageSource> source = open_source(options.source);
  const std::vector<std::string> names = source->names();
  ImportReport report;
  Catalogue catalogue;
  list_images(names, options, catalogue, report);
  place_images(names.size(), catalogue, report);
  const Path scratch = staging.path() / ".scratch";
  {
    Decoding decoding(options, catalogue, scratch);
    decoding.run(*source);
    decoding.report(report);
    Rows rows(catalogue, options, decoding);
    report.manifest = write_dataset(files, clock, staging, rows.plan(),
                                    [&](const RowBlock& block) { rows.fill(block); });
  }
  files.remove_all(scratch);
  staging.publish();
  for (const SplitEntry& split : report.manifest.splits) report.imported += split.num_samples;
  std::sort(report.skipped.begin(), report.skipped.end(),
            [](const SkippedFile& a, const SkippedFile& b) { return a.name < b.name; });
  return report;
}

}  // namespace atelier::data
