#include "data/import/written_rows.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "data/import/class_folders.h"
#include "data/import/decoding.h"
#include "data/order.h"
#include "launch/base/random.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::size_t kLeastHeldOut = 2;  // indicators compare pairs of images
constexpr std::size_t kMaxNameBytes = 255;
constexpr std::uint64_t kLimitStream = 16;  // of orders that shuffle splits, others are taken

using Ids = std::array<std::vector<std::uint64_t>, 3>;

void move_last(std::vector<std::uint64_t>& from, std::vector<std::uint64_t>& to) {
  to.push_back(from.back());
  from.pop_back();
}

Split dealt(std::uint64_t id, const SplitShares& shares) {
  const auto card = static_cast<int>(
      uniform_below({.seed = 0, .stream = Stream::kSplit, .major = 1, .minor = id}, 100));
  if (card < shares.valid) return Split::kValid;
  return card < shares.valid + shares.test ? Split::kTest : Split::kTrain;
}

bool has_valid(const Listing& listing, const ImportOptions& options) {
  if (options.shares) return true;
  return std::any_of(listing.items.begin(), listing.items.end(), [](const SourceItem& item) {
    return item.problem.empty() && item.split == Split::kValid;
  });
}

Ids split_ids(const Listing& listing, const ImportOptions& options, const Scratch& scratch) {
  const bool own_valid = has_valid(listing, options);
  Ids ids;
  for (std::uint64_t id = 0; id < listing.items.size(); ++id) {
    if (scratch.channels(id) == 0) continue;
    Split split = listing.items[id].split;
    if (options.shares) split = dealt(id, *options.shares);
    if (!own_valid && split == Split::kTrain && held_out(id)) split = Split::kValid;
    ids.at(index_of(split)).push_back(id);
  }
  auto& train = ids.at(index_of(Split::kTrain));
  auto& valid = ids.at(index_of(Split::kValid));
  if (!own_valid) {  // of a handful of images the hash may choose too few or all
    while (valid.size() < kLeastHeldOut && train.size() > 1) move_last(train, valid);
    while (train.empty() && !valid.empty()) move_last(valid, train);
  }
  if (options.mirror) {
    for (std::size_t i = train.size(); i-- > 0;) train.push_back(listing.items.size() + train[i]);
  }
  return ids;
}

void shuffle(Ids& ids, std::uint64_t seed) {
  for (std::size_t split = 0; split < ids.size(); ++split) {
    const std::vector<std::uint64_t> sorted = ids.at(split);
    if (sorted.empty()) continue;
    const Order order(0, seed, sorted.size(), split);
    for (std::uint64_t i = 0; i < sorted.size(); ++i) ids.at(split)[i] = sorted[order(0, i)];
  }
}

int chosen_channels(const Listing& listing, const ImportOptions& options, const Scratch& scratch) {
  if (options.channels) return *options.channels;
  std::int64_t balance = 0;
  for (std::uint64_t id = 0; id < listing.items.size(); ++id) {
    if (const int channels = scratch.channels(id); channels != 0) balance += channels == 1 ? 1 : -1;
  }
  return balance > 0 ? 1 : kScratchChannels;
}

// The end of a name says more than its beginning.
std::string short_name(const std::string& name) {
  std::string clean = clean_text(name);
  if (clean.size() <= kMaxNameBytes) return clean;
  std::size_t from = clean.size() - kMaxNameBytes;
  while ((static_cast<unsigned char>(clean[from]) & 0xC0U) == 0x80) ++from;
  return clean.substr(from);
}

std::vector<Table> name_table(const Listing& listing, const ImportOptions& options,
                              const Scratch& scratch) {
  if (!options.names || !listing.has_names) return {};
  std::size_t longest = 1;
  for (std::uint64_t id = 0; id < listing.items.size(); ++id) {
    if (scratch.channels(id) != 0)
      longest = std::max(longest, short_name(listing.items[id].name).size());
  }
  return {{"names", Element::kText, {longest}}};
}

// The command that leads to the same images; not part of the content.
std::string command_of(const ImportOptions& options) {
  std::string words = "atelier data import";
  if (options.size) {
    words += text(" --size ", options.size->width, "x", options.size->height, " --fit ",
                  fit_name(options.packing), " --filter ", filter_name(options.packing));
  }
  if (options.packing.varies()) words += text(" --storage ", storage_name(options.packing.storage));
  if (options.shares) {
    words += text(" --split ", 100 - options.shares->valid - options.shares->test, ":",
                  options.shares->valid, ":", options.shares->test);
  }
  if (options.limit > 0) words += text(" --limit ", options.limit);
  if (options.mirror) words += " --xflip";
  return words +
         (options.shuffle ? text(" --shuffle-seed ", options.shuffle_seed) : " --no-shuffle");
}

}  // namespace

std::vector<bool> drawn(const Listing& listing, const ImportOptions& options) {
  std::vector<std::uint64_t> whole;
  for (std::uint64_t id = 0; id < listing.items.size(); ++id)
    if (listing.items[id].problem.empty()) whole.push_back(id);
  std::vector<bool> wanted(listing.items.size());
  const bool all = options.limit == 0 || options.limit >= whole.size();
  if (all) {
    for (const std::uint64_t id : whole) wanted[id] = true;
    return wanted;
  }
  const Order order(0, options.shuffle_seed, whole.size(), kLimitStream);
  for (std::uint64_t i = 0; i < options.limit; ++i) wanted[whole[order(0, i)]] = true;
  return wanted;
}

WrittenRows::WrittenRows(const Listing& listing, const ImportOptions& options,
                         const ImageSize& size, const Scratch& scratch)
    : listing_(listing), scratch_(scratch), samples_(split_ids(listing, options, scratch)) {
  if (options.shuffle) shuffle(samples_, options.shuffle_seed);
  plan_.shape = {size.height, size.width, chosen_channels(listing, options, scratch)};
  plan_.class_names = listing.class_names;
  plan_.extra_tables = name_table(listing, options, scratch);
  for (std::size_t i = 0; i < samples_.size(); ++i) plan_.samples.at(i) = samples_.at(i).size();
  plan_.packing = options.packing;
  if (options.packing.storage != Storage::kEncoded) plan_.packing = {options.packing.storage};
  if (options.packing.storage == Storage::kEncoded) plan_.image_bytes = mean_bytes();
  plan_.threads = options.threads;
  plan_.shard_bytes = options.shard_bytes;
  plan_.valid_from_train = !has_valid(listing, options);
  plan_.source = clean_text(options.source.filename().string());
  plan_.creator = command_of(options);
}

std::uint64_t WrittenRows::image_of(std::uint64_t sample) const {
  return sample % listing_.items.size();
}

std::uint64_t WrittenRows::mean_bytes() const {
  std::uint64_t bytes = 0, count = 0;
  for (const auto& samples : samples_) {
    for (const std::uint64_t sample : samples) bytes += scratch_.bytes(image_of(sample));
    count += samples.size();
  }
  return bytes / std::max<std::uint64_t>(1, count) + 1;
}

void WrittenRows::fill_pixels(std::uint64_t sample, std::span<std::byte> out) const {
  const bool mirror = sample != image_of(sample);
  if (!mirror && plan_.shape.channels == kScratchChannels) return scratch_.read(sample, out);
  Image rgb{{plan_.shape.height, plan_.shape.width, kScratchChannels}, {}};
  rgb.pixels.resize(rgb.shape.bytes());
  scratch_.read(image_of(sample), std::as_writable_bytes(std::span(rgb.pixels)));
  const Image image = with_channels(mirror ? mirrored(rgb) : std::move(rgb), plan_.shape.channels);
  std::memcpy(out.data(), image.pixels.data(), out.size());
}

void WrittenRows::fill(const RowBlock& block) const {
  const std::size_t bytes = plan_.shape.bytes();
  for (std::uint64_t row = 0; row < block.count; ++row) {
    const std::uint64_t sample = samples_.at(index_of(block.split)).at(block.first + row);
    const SourceItem& item = listing_.items[image_of(sample)];
    if (plan_.packing.storage == Storage::kEncoded) {
      block.files[row].resize(scratch_.bytes(sample));
      scratch_.read(sample, block.files[row]);
    } else {
      fill_pixels(sample, block.tables[kImages].subspan(row * bytes, bytes));
    }
    std::memcpy(&block.tables[kLabels][row * sizeof(item.label)], &item.label, sizeof(item.label));
    std::memcpy(&block.tables[kIds][row * sizeof(sample)], &sample, sizeof(sample));
    if (plan_.extra_tables.empty()) continue;
    const std::string name = short_name(item.name);
    const std::size_t room = plan_.extra_tables[0].row_bytes();
    std::memset(&block.tables[kIds + 1][row * room], 0, room);
    std::memcpy(&block.tables[kIds + 1][row * room], name.data(), name.size());
  }
}

}  // namespace atelier::data
